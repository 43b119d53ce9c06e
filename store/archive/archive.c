/* SPDX-License-Identifier: MIT */
#include "store/archive/archive.h"

#include "store/archive/question.h"
#include "store/base/list.h"
#include "store/base/mem.h"
#include "store/base/timer.h"
#include "store/postgres/postgres.h"
#include "store/resolver/resolver.h"

#include <stdlib.h>
#include <string.h>

enum {
    ARCHIVE_IDLE_MS = 60 * 1000,
    ARCHIVE_ANSWER_MS = 2 * ARCHIVE_QUERY_MS, /* then the server counts as dead */
};

struct archive {
    struct event_base *base;
    const char *uri;
    char *name;
    struct resolver *resolver; /* NULL, as is the next: no session */
    struct postgres *postgres;
    struct event *idle;
    struct list waiting; /* struct archive_call; the first one may be under way */
    unsigned count;
    bool asked; /* it is */
};

struct archive_call {
    struct list entry;
    unsigned limit;
    struct buf sql;
    archive_fn *fn;
    void *arg;
};

static struct archive_call *first(struct archive *archive)
{
    return LIST_ITEM(archive->waiting.next, struct archive_call, entry);
}

static void asking_free(struct archive *archive, struct archive_call *asking)
{
    list_del(&asking->entry);
    archive->count--;
    buf_free(&asking->sql);
    free(asking);
}

static void finish(struct archive *archive, const struct archive_answer *answer)
{
    struct archive_call *asking = first(archive);
    archive_fn *fn = asking->fn;
    void *arg = asking->arg;
    asking_free(archive, asking);
    timer_after(archive->idle, ARCHIVE_IDLE_MS);
    fn(arg, answer);
}

static void give_up(struct archive *archive, const char *error)
{
    const struct archive_answer answer = {.error = error};
    finish(archive, &answer);
}

/* ------------------------------------------------------------------------------------ answers */

static uint64_t number(const struct postgres_answer *answer, enum archive_column column)
{
    const char *text = postgres_value(answer, (int)column);
    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

static const char *reason(const struct postgres_answer *answer)
{
    static const char *const known[][2] = {
        {"57014", "PostgreSQL did not find them within 5 s: ask for a room, a user or a level"},
        {"42P01", "PostgreSQL has no log_entry: run muster migrate"},
        {"42501", "the role in postgres may not read log_entry: grant it muster_reader"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (strcmp(answer->sqlstate, known[i][0]) == 0) {
            return known[i][1];
        }
    }
    return answer->text;
}

static void ask_next(struct archive *archive);

static void on_rows(void *arg, const struct postgres_answer *rows)
{
    struct archive *archive = arg;
    const char *text = postgres_value(rows, ARCHIVE_ENTRIES);
    archive->asked = false;
    if (rows->end != POSTGRES_DONE || text == NULL) {
        give_up(archive, rows->end == POSTGRES_DONE ? "no answer" : reason(rows));
    } else {
        uint64_t found = number(rows, ARCHIVE_FOUND);
        struct archive_answer answer = {.entries = span_str(text),
                                        .count = number(rows, ARCHIVE_COUNT)};
        answer.more = found > answer.count || found >= first(archive)->limit;
        answer.last.time_us = (int64_t)number(rows, ARCHIVE_LAST_TIME);
        answer.last.seq = number(rows, ARCHIVE_LAST_SEQ);
        finish(archive, &answer);
    }
    ask_next(archive);
}

static void ask_next(struct archive *archive)
{
    if (!archive->asked && !list_empty(&archive->waiting) && archive->postgres != NULL &&
        postgres_is_idle(archive->postgres)) {
        archive->asked = true;
        postgres_query(archive->postgres, buf_text(&first(archive)->sql), NULL, 0, on_rows,
                       archive);
    }
}

/* ------------------------------------------------------------------------------------ the session */

static void on_up(void *arg)
{
    struct archive *archive = arg;
    postgres_set_limit(archive->postgres, ARCHIVE_ANSWER_MS);
    ask_next(archive);
}

/* Askers that wait hear so; one that asks from now on waits for the next try. */
static void on_down(void *arg, const char *text)
{
    struct archive *archive = arg;
    struct buf error = {0};
    buf_append(&error, SPAN("PostgreSQL cannot be reached: "));
    struct span rest = span_str(text);
    buf_append(&error, span_cut(&rest, '\n')); /* further lines guess why */
    for (unsigned left = archive->count; left > 0; left--) {
        give_up(archive, buf_text(&error));
    }
    buf_free(&error);
}

static void hang_up(struct archive *archive)
{
    postgres_close(&archive->postgres);
    resolver_free(&archive->resolver);
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
    struct archive *archive = arg;
    (void)fd, (void)what;
    if (list_empty(&archive->waiting)) {
        hang_up(archive);
    }
}

static void dial(struct archive *archive)
{
    static const struct postgres_events events = {.up = on_up, .down = on_down};
    if (archive->postgres == NULL) {
        archive->resolver = resolver_new(archive->base);
        archive->postgres = postgres_open(archive->base, archive->resolver, archive->uri,
                                          archive->name, &events, archive);
        postgres_take_any(archive->postgres);
    }
}

/* ------------------------------------------------------------------------------------ calls */

struct archive *archive_new(struct event_base *base, const char *uri, const char *name)
{
    struct archive *archive = mem_zalloc(sizeof(*archive));
    archive->base = base;
    archive->uri = uri;
    archive->name = mem_dup(span_str(name));
    archive->idle = evtimer_new(base, on_idle, archive);
    list_init(&archive->waiting);
    return archive;
}

void archive_free(struct archive **archive)
{
    struct archive *gone = *archive;
    if (gone == NULL) {
        return;
    }
    *archive = NULL;
    while (!list_empty(&gone->waiting)) {
        asking_free(gone, first(gone));
    }
    hang_up(gone);
    event_free(gone->idle);
    free(gone->name);
    free(gone);
}

/* A session that is idle is asked in the next turn, never inside the call. */
int archive_ask(struct archive *archive, const struct archive_question *question, archive_fn *fn,
                void *arg)
{
    if (archive->count >= ARCHIVE_WAITING_MOST) {
        return -1;
    }
    struct archive_call *asking = mem_zalloc(sizeof(*asking));
    asking->fn = fn;
    asking->arg = arg;
    asking->limit = question->limit;
    archive_print_sql(question, &asking->sql);
    list_push_back(&archive->waiting, &asking->entry);
    archive->count++;
    dial(archive);
    ask_next(archive);
    return 0;
}
