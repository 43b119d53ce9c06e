/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include <stdio.h>
#include <stdlib.h>

static void on_event(void *arg, enum history_event event, const struct history_entry *entry)
{
    struct reader *reader = arg;
    buf_printf(&reader->log, "%s", reader->log.len > 0 ? " " : "");
    if (event == HISTORY_ENTRY) {
        buf_append(&reader->log, entry->value);
        reader->entries++;
        reader->fell |= entry->id <= reader->last_id;
        reader->last_id = entry->id;
    } else {
        assert_int_equal(entry != NULL, event == HISTORY_LOST);
        buf_append(&reader->log, event == HISTORY_CURRENT ? SPAN("C")
                                 : event == HISTORY_STALE ? SPAN("S")
                                                          : SPAN("L"));
        reader->currents += event == HISTORY_CURRENT;
        reader->stales += event == HISTORY_STALE;
        reader->losts += event == HISTORY_LOST;
        reader->lost += event == HISTORY_LOST ? (int)entry->lost : 0;
    }
    if (reader->end_inside) {
        history_unwatch(&reader->watch);
    }
}

void reader_start(struct reader *reader, int node)
{
    reader->watch = history_watch(lab.nodes[node], SPAN("h"), on_event, reader);
}

void reader_stop(struct reader *reader)
{
    history_unwatch(&reader->watch);
    buf_free(&reader->log);
}

void outcome_note(void *arg, uint64_t tag, bool done)
{
    struct outcome *outcome = arg;
    outcome->done += done;
    outcome->failed += !done;
    outcome->last_tag = tag;
}

int append_for(int node, const char *value, uint32_t most, uint32_t wait_ms,
               struct outcome *outcome)
{
    return history_append(lab.nodes[node], &(struct history_append){
                                               .key = SPAN("h"),
                                               .value = span_str(value),
                                               .most = most,
                                               .wait_ms = wait_ms,
                                               .fn = outcome_note,
                                               .arg = outcome,
                                               .tag = 7,
                                           });
}

void append(int node, const char *value, uint32_t most, struct outcome *outcome)
{
    assert_int_equal(append_for(node, value, most, WAIT_MS, outcome), 0);
}

void append_numbers(int node, int from, int to, uint32_t most, struct outcome *outcome)
{
    for (int i = from; i < to; i++) {
        char text[16];
        snprintf(text, sizeof(text), "n%d.%d", node, i);
        append(node, text, most, outcome);
    }
}

struct answer {
    struct buf log;
    int answers, failures;
};

static void on_read(void *arg, uint64_t tag, bool ok, struct span entries)
{
    struct answer *answer = arg;
    struct history_entry entry;
    assert_int_equal(tag, 9);
    answer->answers++;
    answer->failures += !ok;
    while (history_next(&entries, &entry)) {
        buf_printf(&answer->log, "%s%.*s", answer->log.len > 0 ? " " : "", SPAN_ARG(entry.value));
    }
}

/* What the newest `limit` entries behind `offset` are, as text to be freed. */
static char *read_now(int node, uint32_t offset, uint32_t limit)
{
    struct answer answer = {0};
    assert_int_equal(history_read(lab.nodes[node], SPAN("h"), offset, limit, on_read, &answer, 9),
                     0);
    assert_int_equal(answer.answers, 0);
    WAIT(answer.answers == 1);
    assert_int_equal(answer.failures, 0);
    char *text = mem_dup(buf_span(&answer.log));
    buf_free(&answer.log);
    return text;
}

void reads(int node, uint32_t offset, uint32_t limit, const char *expected)
{
    char *text = read_now(node, offset, limit);
    assert_string_equal(text, expected);
    free(text);
}

void read_is_refused(int node)
{
    struct answer answer = {0};
    assert_int_equal(history_read(lab.nodes[node], SPAN("h"), 0, 1, on_read, &answer, 9), -1);
    assert_int_equal(answer.answers, 0);
}
