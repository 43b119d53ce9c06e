/* SPDX-License-Identifier: MIT */
/* muster tail --postgres: stored lines, as a reader of the table may see them, page by page. */
#include "node/app/terminal.h"
#include "node/app/verb_tail.h"
#include "store/archive/archive.h"

#include <stdio.h>
#include <string.h>

struct tail_pages {
    struct tailing *tail;
    struct archive *archive;
    struct archive_question question;
};

static void ask_page(struct tail_pages *reading);

/* What is asked for newest first is shown the other way round. */
static void show_page(const struct tail_pages *reading, struct span entries)
{
    json_error_t wrong;
    json_t *all = json_loadb(entries.ptr, entries.len, JSON_ALLOW_NUL, &wrong);
    size_t count = json_array_size(all);
    for (size_t i = 0; i < count; i++) {
        size_t at = reading->question.forward ? i : count - 1 - i;
        verb_tail_show(reading->tail, json_array_get(all, at));
    }
    json_decref(all);
}

static void on_page(void *arg, const struct archive_answer *answer)
{
    struct tail_pages *reading = arg;
    struct tailing *tail = reading->tail;
    if (answer->error != NULL) {
        fprintf(stderr, "muster tail: --postgres: ");
        terminal_complain(answer->error, strlen(answer->error));
        tail->failed = true;
    } else {
        show_page(reading, answer->entries);
    }
    bool heard = fflush(stdout) == 0 && ferror(stdout) == 0;
    if (answer->error == NULL && answer->more && heard && reading->question.forward) {
        reading->question.place = answer->last;
        ask_page(reading);
    } else {
        event_base_loopbreak(tail->base);
    }
}

static void ask_page(struct tail_pages *reading)
{
    if (archive_ask(reading->archive, &reading->question, on_page, reading) != 0) {
        event_base_loopbreak(reading->tail->base);
    }
}

int verb_tail_stored(struct tailing *tail)
{
    tail->base = event_base_new();
    bool since = tail->from_ms > 0;
    struct tail_pages reading = {
        .tail = tail,
        .archive = archive_new(tail->base, tail->postgres, "muster tail"),
        .question = {.forward = since,
                     .since_us = (int64_t)tail->from_ms * 1000,
                     .limit = since ? ARCHIVE_ENTRIES_MOST : VERB_TAIL_LINES,
                     .levels = ~0U << tail->least,
                     .room = span_str(tail->room),
                     .own = true},
    };
    ask_page(&reading);
    event_base_dispatch(tail->base);
    archive_free(&reading.archive);
    event_base_free(tail->base);
    return tail->failed ? 2 : 0;
}
