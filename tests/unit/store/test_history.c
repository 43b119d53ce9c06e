/* The contract of history.h, the same for every backend, and what is promised when Redis breaks. */
#include "store/history.h"
#include "store/history_note.h"
#include "tests.h"

#include <stdio.h>
#include <string.h>

enum { WAIT_MS = 30000 };

/* Follows a key. `log` is "value" per entry, "C" CURRENT, "S" STALE, "L" LOST, with spaces. */
struct reader {
    struct history_watch *watch;
    struct buf log;
    int entries, currents, stales, losts;
    uint64_t last_id;
    bool fell; /* an id was not above the one before */
    bool end_inside;
};

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
        assert_null(entry);
        buf_append(&reader->log, event == HISTORY_CURRENT ? SPAN("C")
                                 : event == HISTORY_STALE ? SPAN("S")
                                                          : SPAN("L"));
        reader->currents += event == HISTORY_CURRENT;
        reader->stales += event == HISTORY_STALE;
        reader->losts += event == HISTORY_LOST;
    }
    if (reader->end_inside) {
        history_unwatch(&reader->watch);
    }
}

static void reader_start(struct reader *reader, int node, const char *key)
{
    reader->watch = history_watch(lab.nodes[node], span_str(key), on_event, reader);
}

static void reader_stop(struct reader *reader)
{
    history_unwatch(&reader->watch);
    buf_free(&reader->log);
}

struct outcome {
    int done, failed;
    uint64_t last_tag;
};

static void on_done(void *arg, uint64_t tag, bool done)
{
    struct outcome *outcome = arg;
    outcome->done += done;
    outcome->failed += !done;
    outcome->last_tag = tag;
}

static int append_for(int node, const char *value, uint32_t most, uint32_t wait_ms,
                      struct outcome *outcome)
{
    return history_append(lab.nodes[node], &(struct history_append){
                                               .key = SPAN("h"),
                                               .value = span_str(value),
                                               .most = most,
                                               .wait_ms = wait_ms,
                                               .fn = on_done,
                                               .arg = outcome,
                                               .tag = 7,
                                           });
}

static void append(int node, const char *value, uint32_t most, struct outcome *outcome)
{
    assert_int_equal(append_for(node, value, most, WAIT_MS, outcome), 0);
}

static void append_numbers(int node, int from, int to, uint32_t most, struct outcome *outcome)
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

static void reads(int node, uint32_t offset, uint32_t limit, const char *expected)
{
    char *text = read_now(node, offset, limit);
    assert_string_equal(text, expected);
    free(text);
}

/* --------------------------------------------------------------------------------- contract */

static void everybody_sees_one_order(void **state)
{
    enum { MANY = 1500 };
    struct reader r[3] = {0};
    struct outcome outcome = {0};
    (void)state;
    lab_nodes(3);
    for (int i = 0; i < 3; i++) {
        reader_start(&r[i], i, "h");
    }
    WAIT(r[0].currents == 1 && r[1].currents == 1 && r[2].currents == 1);
    for (int i = 0; i < MANY; i += 50) {
        append_numbers(0, i, i + 50, 100, &outcome);
        append_numbers(1, i, i + 50, 100, &outcome);
        lab_turn();
    }
    WAIT(r[0].entries == 2 * MANY && r[1].entries == 2 * MANY && r[2].entries == 2 * MANY);
    WAIT(outcome.done == 2 * MANY);
    assert_int_equal(outcome.last_tag, 7);
    for (int i = 0; i < 3; i++) {
        assert_false(r[i].fell);
        assert_string_equal(buf_text(&r[i].log), buf_text(&r[0].log));
    }
    for (int i = 0; i < 3; i++) {
        reader_stop(&r[i]);
    }
}

static void the_cap_holds_at_its_edges(void **state)
{
    struct outcome outcome = {0};
    (void)state;
    lab_nodes(2);
    WAIT(lab.links_up[0] > 0 && lab.links_up[1] > 0);
    reads(0, 0, 10, "");
    append_numbers(0, 0, 4, 5, &outcome);
    reads(0, 0, 10, "n0.3 n0.2 n0.1 n0.0"); /* at once: behind the own appends */
    append_numbers(0, 4, 5, 5, &outcome);
    reads(0, 0, 10, "n0.4 n0.3 n0.2 n0.1 n0.0");
    append_numbers(0, 5, 6, 5, &outcome);
    reads(0, 0, 10, "n0.5 n0.4 n0.3 n0.2 n0.1");
    reads(1, 0, 2, "n0.5 n0.4");
    reads(1, 1, 2, "n0.4 n0.3");
    reads(1, 4, 2, "n0.1");
    reads(1, 5, 2, "");
    reads(1, 4000000000U, 2, "");
    reads(1, 0, 0, "");
    append_numbers(1, 0, 1, 2, &outcome); /* a smaller cap cuts what is there */
    reads(0, 0, 10, "n1.0 n0.5");
    assert_int_equal(outcome.failed, 0);
}

static void a_watch_begins_now(void **state)
{
    struct reader r = {0}, late = {0};
    struct outcome outcome = {0};
    (void)state;
    lab_nodes(2);
    append(1, "before", 10, &outcome);
    WAIT(outcome.done == 1);
    reader_start(&r, 0, "h");
    append(0, "own", 10, &outcome); /* at once: it is heard all the same */
    WAIT(r.entries == 1 && r.currents >= 1);
    reader_start(&late, 0, "h");
    WAIT(late.currents == 1);
    append(1, "after", 10, &outcome);
    WAIT(r.entries == 2 && late.entries == 1);
    assert_non_null(strstr(buf_text(&r.log), "own"));
    assert_string_equal(buf_text(&late.log), "C after");
    reader_stop(&r);
    append(1, "more", 10, &outcome);
    WAIT(late.entries == 2);
    reader_stop(&late);
    lab_run(30);
    struct reader again = {0};
    reader_start(&again, 0, "h");
    WAIT(again.currents == 1);
    append(1, "x", 10, &outcome);
    WAIT(again.entries == 1);
    assert_string_equal(buf_text(&again.log), "C x");
    reader_stop(&again);
}

static void a_watch_may_end_inside(void **state)
{
    struct reader r = {.end_inside = true};
    (void)state;
    lab_nodes(1);
    reader_start(&r, 0, "h");
    WAIT(r.currents == 1);
    assert_null(r.watch);
    struct outcome outcome = {0};
    append(0, "x", 5, &outcome);
    WAIT(outcome.done == 1);
    lab_run(30);
    assert_int_equal(r.entries, 0);
    buf_free(&r.log);
}

static void values_are_any_bytes(void **state)
{
    static const char bytes[] = " \0\r\n1 2 3\n\xff";
    struct reader r = {0};
    struct outcome outcome = {0};
    (void)state;
    lab_nodes(2);
    reader_start(&r, 1, "h");
    WAIT(r.currents == 1);
    struct history_append call = {.key = SPAN("h"),
                                  .value = SPAN(bytes),
                                  .most = 5,
                                  .wait_ms = WAIT_MS,
                                  .fn = on_done,
                                  .arg = &outcome};
    assert_int_equal(history_append(lab.nodes[0], &call), 0);
    call.value = span_of(NULL, 0);
    assert_int_equal(history_append(lab.nodes[0], &call), 0);
    char *large = mem_zalloc(HISTORY_VALUE_MOST + 1);
    memset(large, 'y', HISTORY_VALUE_MOST + 1);
    call.value = span_of(large, HISTORY_VALUE_MOST + 1);
    assert_int_equal(history_append(lab.nodes[0], &call), -1);
    call.value.len--;
    assert_int_equal(history_append(lab.nodes[0], &call), 0);
    WAIT(r.entries == 3);
    assert_int_equal(r.log.len, 2 + sizeof(bytes) - 1 + 1 + 1 + HISTORY_VALUE_MOST);
    assert_memory_equal(r.log.ptr + 2, bytes, sizeof(bytes) - 1);
    free(large);
    reader_stop(&r);
}

static void the_queue_is_bounded(void **state)
{
    struct outcome outcome = {0};
    int taken = 0;
    (void)state;
    lab_nodes(1);
    while (append_for(0, "x", 5, WAIT_MS, &outcome) == 0) {
        taken++;
        assert_true(taken < 100000);
    }
    WAIT(outcome.done == taken);
    assert_int_equal(append_for(0, "x", 5, WAIT_MS, &outcome), 0);
    WAIT(outcome.done == taken + 1);
}

static void notes_are_checked(void **state)
{
    static const char *const broken[] = {
        "",
        "1",
        "1 2\n",
        "1 2 x\n",
        "1 2 1\n",
        "1 2 1\n1 1 1 1\na",
        "1 2 0",
        "1 2 0\nx",
        "1 2 1\n1 1 9 9\nab",
        "1 2 1\n1 1 1 99999999999999999999\nab",
        "-1 2 0\n",
    };
    struct history_note note;
    (void)state;
    assert_int_equal(history_note_read(SPAN("1 2 1\n2 3 1 2\nabc"), &note), 0);
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        assert_int_equal(history_note_read(span_str(broken[i]), &note), -1);
    }
}

int test_history(const char *name, CMFixtureFunction start)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(everybody_sees_one_order),  LAB_TEST(the_cap_holds_at_its_edges),
        LAB_TEST(a_watch_begins_now),        LAB_TEST(a_watch_may_end_inside),
        LAB_TEST(values_are_any_bytes),      LAB_TEST(the_queue_is_bounded),
        cmocka_unit_test(notes_are_checked),
    };
    char title[32];
    snprintf(title, sizeof(title), "history on %s", name);
    return _cmocka_run_group_tests(title, tests, sizeof(tests) / sizeof(tests[0]), start, lab_end);
}

/* ----------------------------------------------------------------------------------- faults */

static struct redis_server_process *const redis = &lab.servers[0];

static int start_server(void **state)
{
    lab_redis(state);
    return lab_setup(state);
}

static int end_server(void **state)
{
    lab_teardown(state);
    return lab_end(state);
}

/* Three nodes that watch, two of which write all the time while `fault` goes on. */
struct stream {
    struct reader r[3];
    struct outcome outcome;
    int sent;
};

static void stream_start(struct stream *stream)
{
    lab_nodes(3);
    for (int i = 0; i < 3; i++) {
        reader_start(&stream->r[i], i, "h");
    }
    WAIT(stream->r[0].currents + stream->r[1].currents + stream->r[2].currents == 3);
}

/* Two writers say ten things each, then some milliseconds pass. */
static void stream_write(struct stream *stream, unsigned ms)
{
    append_numbers(0, stream->sent, stream->sent + 10, 1000, &stream->outcome);
    append_numbers(1, stream->sent, stream->sent + 10, 1000, &stream->outcome);
    stream->sent += 10;
    lab_run(ms);
}

/* None lost, none twice, each writer's in order, the same for everybody. */
static void stream_end(struct stream *stream, bool same_order)
{
    int all = 2 * stream->sent;
    WAIT(stream->outcome.done == all);
    WAIT(stream->r[0].entries >= all && stream->r[1].entries >= all && stream->r[2].entries >= all);
    lab_run(100);
    assert_int_equal(stream->outcome.failed, 0);
    for (int i = 0; i < 3; i++) {
        struct span rest = buf_span(&stream->r[i].log);
        int next[2] = {0};
        assert_int_equal(stream->r[i].entries, all);
        assert_int_equal(stream->r[i].losts, 0);
        while (rest.len > 0) {
            struct span word = span_cut(&rest, ' ');
            if (word.len > 1) {
                char text[16] = "";
                memcpy(text, word.ptr, word.len);
                int writer = text[1] - '0';
                assert_int_equal(atoi(text + 3), next[writer]);
                next[writer]++;
            }
        }
    }
    if (same_order) {
        struct buf plain[3] = {0};
        for (int i = 0; i < 3; i++) {
            struct span rest = buf_span(&stream->r[i].log);
            while (rest.len > 0) {
                struct span word = span_cut(&rest, ' ');
                if (word.len > 1) {
                    buf_append(&plain[i], word);
                }
            }
        }
        assert_string_equal(buf_text(&plain[0]), buf_text(&plain[1]));
        assert_string_equal(buf_text(&plain[0]), buf_text(&plain[2]));
        for (int i = 0; i < 3; i++) {
            buf_free(&plain[i]);
        }
    }
    for (int i = 0; i < 3; i++) {
        reader_stop(&stream->r[i]);
    }
}

static void paused_in_a_stream(void **state)
{
    struct stream stream = {0};
    (void)state;
    stream_start(&stream);
    for (int i = 0; i < 3; i++) {
        stream_write(&stream, 10);
        redis_pause(redis);
        for (int n = 0; n < 15; n++) {
            stream_write(&stream, i == 0 ? 10 : 150); /* within the proof's patience, and over it */
        }
        redis_resume(redis);
        stream_write(&stream, 50);
    }
    stream_end(&stream, true);
}

static void restarted_empty_in_a_stream(void **state)
{
    struct stream stream = {0};
    (void)state;
    stream_start(&stream);
    for (int i = 0; i < 4; i++) {
        for (int n = 0; n < 5; n++) {
            stream_write(&stream, 2);
        }
        redis_kill(redis);
        for (int n = 0; n < 5; n++) {
            stream_write(&stream, 20);
        }
        redis_start(redis, NULL, NULL);
        WAIT(store_ready(lab.nodes[0]) && store_ready(lab.nodes[1]) && store_ready(lab.nodes[2]));
    }
    stream_end(&stream, false);
}

static void flushed_in_a_stream(void **state)
{
    struct stream stream = {0};
    (void)state;
    stream_start(&stream);
    for (int n = 0; n < 20; n++) {
        stream_write(&stream, 2);
        if (n % 5 == 4) {
            freeReplyObject(redis_ask(redis, "FLUSHALL"));
            freeReplyObject(redis_ask(redis, "SCRIPT FLUSH"));
        }
    }
    stream_end(&stream, true);
}

static void links_cut_in_a_stream(void **state)
{
    struct stream stream = {0};
    (void)state;
    stream_start(&stream);
    for (int n = 0; n < 40; n++) {
        stream_write(&stream, 5);
        if (n % 4 == 3) {
            freeReplyObject(redis_ask(redis, n % 8 == 3 ? "CLIENT KILL TYPE normal"
                                                        : "CLIENT KILL TYPE pubsub"));
        }
    }
    stream_end(&stream, true);
}

static void what_was_trimmed_meanwhile_is_told(void **state)
{
    struct reader r = {0};
    struct outcome outcome = {0};
    (void)state;
    lab_nodes(2);
    reader_start(&r, 0, "h");
    append(1, "first", 5, &outcome);
    WAIT(r.entries == 1 && r.currents == 1);
    redis_pause(redis); /* node 0 gives its link up; node 1 goes on alone when Redis is back */
    WAIT(r.stales == 1);
    store_close(&lab.nodes[1]);
    redis_resume(redis);
    for (int i = 0; i < 20; i++) {
        freeReplyObject(redis_ask(redis, "PING"));
    }
    lab_node(1);
    append_numbers(1, 0, 20, 5, &outcome);
    WAIT(outcome.done == 21 && r.currents == 2);
    WAIT(strstr(buf_text(&r.log), "n1.19") != NULL);
    assert_true(r.entries == 21 ? r.losts == 0 : r.losts > 0);
    reader_stop(&r);
}

static void given_up_after_its_time(void **state)
{
    struct outcome outcome = {0};
    struct answer answer = {0};
    (void)state;
    lab_nodes(1);
    redis_kill(redis);
    WAIT(!store_ready(lab.nodes[0]));
    assert_int_equal(history_read(lab.nodes[0], SPAN("h"), 0, 1, on_read, &answer, 9), -1);
    assert_int_equal(append_for(0, "x", 5, 300, &outcome), 0);
    WAIT(outcome.failed == 1);
    append(0, "y", 5, &outcome);
    redis_start(redis, NULL, NULL);
    WAIT(outcome.done == 1);
    reads(0, 0, 5, "y");
    buf_free(&answer.log);
}

static void refused_and_then_taken(void **state)
{
    struct stream stream = {0};
    (void)state;
    stream_start(&stream);
    freeReplyObject(redis_ask(redis, "CONFIG SET maxmemory 1"));
    stream_write(&stream, 300);
    assert_int_equal(stream.outcome.done, 0);
    freeReplyObject(redis_ask(redis, "CONFIG SET maxmemory 0"));
    stream_end(&stream, true);
}

#define FAULT(function) cmocka_unit_test_setup_teardown(function, start_server, end_server)

int test_history_faults(void)
{
    const struct CMUnitTest history_faults[] = {
        FAULT(paused_in_a_stream),      FAULT(restarted_empty_in_a_stream),
        FAULT(flushed_in_a_stream),     FAULT(links_cut_in_a_stream),
        FAULT(given_up_after_its_time), FAULT(what_was_trimmed_meanwhile_is_told),
        FAULT(refused_and_then_taken),
    };
    return cmocka_run_group_tests(history_faults, NULL, NULL);
}
