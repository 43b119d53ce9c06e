/* SPDX-License-Identifier: MIT */
/* The contract of stream.h, the same for every backend. */
#include "tests.h"

#include "store/stream.h"
#include "store/stream_call.h"
#include "store/stream_part.h"
#include "store/stream_read.h"

#include <stdio.h>
#include <stdlib.h>

enum { LANES = 4, SOME = 1000 };

static struct {
    int stored, full, refused, unknown;
} outcomes;

/* What was read last: "lane:tag=payload " per entry. */
static struct {
    struct buf log;
    size_t count;
    uint64_t seq[LANES], ordinal[LANES], first;
    int holes, disorders, answers;
    bool ok;
} seen;

/* Of all parts together. */
static struct {
    uint64_t last, entries, unstored[LANES];
    unsigned lanes;
} state_seen;

static struct stream_history histories[STREAM_PARTS]; /* as the last answers named them */
static struct stream_result last_result;
static int states;

static void on_outcome(void *arg, const struct stream_result *result)
{
    enum stream_outcome outcome = result->outcome;
    (void)arg;
    last_result = *result;
    outcomes.stored += outcome == STREAM_STORED;
    outcomes.full += outcome == STREAM_FULL;
    outcomes.refused += outcome == STREAM_REFUSED;
    outcomes.unknown += outcome == STREAM_UNKNOWN;
}

static void on_read(void *arg, bool ok, const struct stream_head *head,
                    const struct stream_entry *entries, size_t count)
{
    histories[(uintptr_t)arg] = head->history;
    seen.ok = ok;
    seen.answers++;
    seen.count += count;
    seen.first = count > 0 ? entries[0].seq : 0;
    for (size_t i = 0; i < count; i++) {
        const struct stream_entry *e = &entries[i];
        seen.disorders += e->seq <= seen.seq[e->lane];
        seen.holes += e->ordinal != seen.ordinal[e->lane] + 1;
        seen.seq[e->lane] = e->seq;
        seen.ordinal[e->lane] = e->ordinal;
        buf_printf(&seen.log, "%u:%.*s=", e->lane, SPAN_ARG(e->tag));
        buf_append(&seen.log, e->payload);
        buf_append(&seen.log, SPAN(" "));
    }
}

static void on_state(void *arg, const struct stream_state *state)
{
    states++;
    if (state != NULL) {
        histories[(uintptr_t)arg] = state->head.history;
        state_seen.last = state->last > state_seen.last ? state->last : state_seen.last;
        state_seen.lanes = state->lanes > state_seen.lanes ? state->lanes : state_seen.lanes;
        state_seen.entries += state->entries;
        for (unsigned i = 0; i < LANES; i++) {
            state_seen.unstored[i] += state->unstored[i];
        }
    }
}

static bool is_spread(void)
{
    return stream_is_spread(lab.nodes[0]);
}

static void begin(int nodes, uint64_t bound, bool refuse)
{
    buf_free(&seen.log);
    memset(&seen, 0, sizeof(seen));
    memset(&outcomes, 0, sizeof(outcomes));
    lab_nodes(nodes);
    lab_turn(); /* the memory store serves from its first turn on */
    for (int i = 0; i < nodes; i++) {
        /* Where each lane is a part of its own: so many entries for each. */
        const uint64_t entries = is_spread() ? bound * LANES : bound;
        stream_setup(lab.nodes[i], &(struct stream_limits){LANES, entries, refuse});
    }
}

static int put(int node, unsigned lane, const char *tag, const char *payload)
{
    struct stream_item item = {lane, span_str(tag), span_str(payload)};
    return stream_append(lab.nodes[node], &item, 1, on_outcome, NULL);
}

static void put_and_wait(int node, unsigned lane, const char *payload)
{
    int before = outcomes.stored + outcomes.full;
    assert_int_equal(put(node, lane, "t", payload), 0);
    WAIT(outcomes.stored + outcomes.full > before);
}

/* Reads all lanes from the positions in `seen`. */
static const char *read_on(int node, size_t most)
{
    struct stream_from from[LANES];
    for (unsigned i = 0; i < LANES; i++) {
        from[i] = (struct stream_from){i, seen.seq[i]};
    }
    seen.log.len = seen.count = 0;
    for (uintptr_t part = 0; part < stream_parts(lab.nodes[node]); part++) {
        do { /* a link that falls meanwhile is waited for */
            int before = seen.answers;
            WAIT(stream_read(lab.nodes[node], (unsigned)part, from, LANES, most, on_read,
                             (void *)part) == 0);
            WAIT(seen.answers > before);
        } while (!seen.ok);
    }
    return buf_text(&seen.log);
}

static void ask_part(unsigned part, const struct stream_mark *marks, size_t count, uint64_t keep,
                     bool sink)
{
    int before = states;
    struct stream_mark its[LANES];
    struct stream_ask ask = {.marks = its, .keep = keep, .sink = sink, .writers = true};
    for (size_t i = 0; i < count; i++) {
        if (stream_part_of_lane(lab.nodes[0], marks[i].lane) == part) {
            its[ask.count] = marks[i];
            if (marks[i].history.identity[0] == '\0') {
                its[ask.count].history = histories[part];
            }
            ask.count++;
        }
    }
    assert_int_equal(stream_state(lab.nodes[0], part, &ask, on_state, (void *)(uintptr_t)part), 0);
    WAIT(states > before);
}

static void ask_state(const struct stream_mark *marks, size_t count, uint64_t keep, bool sink)
{
    memset(&state_seen, 0, sizeof(state_seen));
    for (unsigned part = 0; part < stream_parts(lab.nodes[0]); part++) {
        bool used = part == 0 || (is_spread() && part < LANES);
        ask_part(part, marks, count, keep, sink && used);
    }
}

static void read_back(unsigned lane, uint64_t last, size_t most)
{
    int before = seen.answers;
    seen.log.len = seen.count = 0;
    assert_int_equal(stream_read_back(lab.nodes[0], stream_part_of_lane(lab.nodes[0], lane), lane,
                                      last, most, on_read, NULL),
                     0);
    WAIT(seen.answers > before);
}

static void what_is_appended_is_read_in_order(void **state)
{
    (void)state;
    begin(2, SOME, false);
    put_and_wait(0, 1, "one");
    put_and_wait(1, 1, "two");
    put_and_wait(0, 3, "three");
    assert_string_equal(read_on(1, 100), "1:t=one 1:t=two 3:t=three ");
    put_and_wait(0, 1, "four");
    assert_string_equal(read_on(1, 100), "1:t=four ");
    assert_string_equal(read_on(1, 100), "");
    assert_int_equal(seen.disorders + seen.holes, 0);
}

static void any_bytes_pass(void **state)
{
    (void)state;
    begin(1, SOME, false);
    struct stream_item item = {0, SPAN(""), SPAN("a\0\xff\r\n")};
    assert_int_equal(stream_append(lab.nodes[0], &item, 1, on_outcome, NULL), 0);
    WAIT(outcomes.stored == 1);
    read_on(0, 10);
    assert_int_equal(seen.count, 1);
    assert_memory_equal(seen.log.ptr, "0:=a\0\xff\r\n ", 9);
}

/* 6 MB in one append, and a little one behind it. */
static void what_is_long_is_stored_whole(void **state)
{
    (void)state;
    enum { LONG_ITEMS = 600, LONG_BYTES = 10000 };
    struct buf items = {0};
    char *payload = mem_alloc(LONG_BYTES);
    size_t found = 0;
    begin(2, SOME, false);
    chunk_begin(&items);
    for (unsigned i = 0; i < LONG_ITEMS; i++) {
        memset(payload, (int)('a' + i % 26), LONG_BYTES);
        const struct stream_item item = {i % LANES, SPAN("t"), span_of(payload, LONG_BYTES)};
        stream_item_put(&items, &item);
    }
    struct chunk *chunk = chunk_end(&items);
    assert_int_equal(stream_append_chunk(lab.nodes[0], chunk, LONG_ITEMS, on_outcome, NULL), 0);
    chunk_unref(chunk);
    assert_int_equal(put(0, 0, "t", "behind"), 0);
    WAIT(outcomes.stored == 2);
    read_on(1, SOME);
    assert_int_equal(seen.count, LONG_ITEMS + 1);
    assert_int_equal(seen.disorders + seen.holes, 0);
    for (size_t at = 0; at < seen.log.len; at++) {
        found += seen.log.ptr[at] == 'z';
    }
    assert_int_equal(found, LONG_ITEMS / 26 * LONG_BYTES);
    free(payload);
}

static void the_numbers_grow_over_all_lanes_and_nodes(void **state)
{
    (void)state;
    uint64_t last = 0;
    begin(3, SOME, false);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(put(i % 3, (unsigned)rand() % LANES, "t", "x"), 0);
    }
    WAIT(outcomes.stored == 300);
    ask_state(NULL, 0, 0, false);
    read_on(0, SOME);
    assert_int_equal(seen.count, 300);
    assert_int_equal(seen.disorders + seen.holes, 0);
    for (unsigned i = 0; i < LANES; i++) {
        last = seen.seq[i] > last ? seen.seq[i] : last;
    }
    assert_true(last == state_seen.last);
    assert_true(last < (UINT64_C(1) << 53));
    assert_int_equal(state_seen.lanes, LANES);
    assert_int_equal(state_seen.entries, 300);
}

static void a_read_takes_no_more_than_asked(void **state)
{
    (void)state;
    begin(1, SOME, false);
    for (int i = 0; i < 5; i++) {
        put_and_wait(0, 2, "x");
    }
    read_on(0, 2);
    assert_int_equal(seen.count, 2);
    read_on(0, 100);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.holes, 0);
}

static void backwards_the_newest_come_first(void **state)
{
    (void)state;
    begin(1, SOME, false);
    put_and_wait(0, 2, "a");
    put_and_wait(0, 2, "b");
    put_and_wait(0, 2, "c");
    read_back(2, UINT64_MAX, 2);
    assert_string_equal(buf_text(&seen.log), "2:t=c 2:t=b ");
    read_back(2, seen.seq[2] - 1, 9);
    assert_string_equal(buf_text(&seen.log), "2:t=a ");
}

static void without_a_sink_the_oldest_go(void **state)
{
    (void)state;
    begin(1, 10, false);
    for (int i = 0; i < 25; i++) {
        char text[8];
        snprintf(text, sizeof(text), "%d", i);
        put_and_wait(0, (unsigned)i % 2, text);
    }
    assert_int_equal(outcomes.stored, 25);
    read_on(0, 100);
    const size_t kept = is_spread() ? 20 : 10;
    assert_int_equal(seen.count, kept);
    assert_true(seen.holes > 0);
    ask_state(NULL, 0, 0, false);
    assert_int_equal(state_seen.entries, kept);
    assert_int_equal(state_seen.unstored[0] + state_seen.unstored[1], kept);
}

static void at_the_bound_a_caller_is_refused_whole(void **state)
{
    (void)state;
    struct stream_item three[3];
    begin(1, 10, true);
    for (unsigned i = 0; i < 3; i++) {
        three[i] = (struct stream_item){is_spread() ? 0 : i, SPAN("t"), SPAN("x")};
    }
    for (int i = 0; i < 5; i++) {
        assert_int_equal(stream_append(lab.nodes[0], three, 3, on_outcome, NULL), 0);
    }
    WAIT(outcomes.stored + outcomes.full == 5);
    assert_int_equal(put(0, 0, "t", "last"), 0);
    WAIT(outcomes.stored + outcomes.full == 6);
    assert_int_equal(outcomes.stored, 4);
    read_on(0, 100);
    assert_int_equal(seen.count, 10);
}

static void what_a_sink_has_stored_makes_room_and_goes(void **state)
{
    (void)state;
    begin(1, 10, true);
    for (int i = 0; i < 12; i++) {
        put_and_wait(0, 1, "x");
    }
    assert_int_equal(outcomes.stored, 10);
    read_on(0, 6);
    struct stream_mark mark = {.lane = 1, .seq = seen.seq[1], .ordinal = seen.ordinal[1]};
    ask_state(&mark, 1, SOME, true);
    assert_int_equal(state_seen.unstored[1], 4);
    assert_int_equal(state_seen.entries, 10); /* kept for readers that look back */
    unsigned other = is_spread() ? 1 : 2;     /* a lane that shares the bound */
    for (int i = 0; i < 8; i++) {
        put_and_wait(0, other, "y");
    }
    assert_int_equal(outcomes.stored, 16);
    ask_state(&mark, 1, 0, true);
    assert_true(state_seen.entries >= 10); /* nothing unstored goes */
    assert_int_equal(state_seen.unstored[1] + state_seen.unstored[2], 10);
    read_on(0, 100);
    assert_int_equal(seen.holes, 0);
    assert_int_equal(seen.count, 10);
}

static void a_sink_that_shows_itself_counts(void **state)
{
    (void)state;
    begin(1, 5, false);
    ask_state(NULL, 0, 0, true);
    for (int i = 0; i < 8; i++) {
        put_and_wait(0, 0, "x");
    }
    assert_int_equal(outcomes.stored, 5);
    assert_int_equal(outcomes.full, 3);
}

static void a_mark_of_an_older_stream_says_nothing(void **state)
{
    (void)state;
    begin(1, 10, true);
    for (int i = 0; i < 5; i++) {
        put_and_wait(0, 0, "x");
    }
    struct stream_mark mark = {
        .lane = 0, .seq = UINT32_MAX * UINT64_C(1000000), .ordinal = 4, .history = {"other", "-"}};
    ask_state(&mark, 1, 0, true);
    assert_int_equal(state_seen.unstored[0], 5);
    assert_int_equal(state_seen.entries, 5);
}

static void a_lost_answer_stores_nothing_twice(void **state)
{
    (void)state;
    if (!lab_is_redis()) {
        return;
    }
    begin(1, 100000, false);
    int sent = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 10; i++) {
            sent += put(0, (unsigned)i % LANES, "t", "x") == 0;
        }
        for (int i = rand() % 4; i > 0; i--) {
            lab_turn();
        }
        for (int s = 0; s < lab.server_count; s++) {
            freeReplyObject(redis_ask(&lab.servers[s], "CLIENT KILL TYPE normal SKIPME yes"));
        }
        lab_turn();
        WAIT(store_ready(lab.nodes[0]));
    }
    WAIT(outcomes.stored + outcomes.refused + outcomes.unknown == sent);
    assert_int_equal(outcomes.refused + outcomes.unknown, 0);
    read_on(0, 100000);
    assert_int_equal(seen.count, sent);
    assert_int_equal(seen.holes + seen.disorders, 0);
    assert_true(sent > 20);
}

static void a_server_that_has_gone_is_said(void **state)
{
    (void)state;
    if (!lab_is_redis()) {
        return;
    }
    begin(1, SOME, false);
    assert_int_equal(put(0, 0, "t", "x"), 0);
    for (int s = 0; s < lab.server_count; s++) {
        redis_kill(&lab.servers[s]);
    }
    WAIT(outcomes.stored + outcomes.unknown + outcomes.refused == 1);
    WAIT(put(0, 0, "t", "y") == -1);
    for (int s = 0; s < lab.server_count; s++) {
        redis_start(&lab.servers[s], NULL, NULL);
    }
    WAIT(store_ready(lab.nodes[0]));
    put_and_wait(0, 0, "z");
    memset(seen.seq, 0, sizeof(seen.seq));
    assert_string_equal(read_on(0, 10), "0:t=z ");
}

int test_stream(const char *name, CMFixtureFunction start)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(what_is_appended_is_read_in_order),
        LAB_TEST(any_bytes_pass),
        LAB_TEST(what_is_long_is_stored_whole),
        LAB_TEST(the_numbers_grow_over_all_lanes_and_nodes),
        LAB_TEST(a_read_takes_no_more_than_asked),
        LAB_TEST(backwards_the_newest_come_first),
        LAB_TEST(without_a_sink_the_oldest_go),
        LAB_TEST(at_the_bound_a_caller_is_refused_whole),
        LAB_TEST(what_a_sink_has_stored_makes_room_and_goes),
        LAB_TEST(a_sink_that_shows_itself_counts),
        LAB_TEST(a_mark_of_an_older_stream_says_nothing),
        LAB_TEST(a_lost_answer_stores_nothing_twice),
        LAB_TEST(a_server_that_has_gone_is_said),
    };
    char title[32];
    snprintf(title, sizeof(title), "stream on %s", name);
    int failed =
        _cmocka_run_group_tests(title, tests, sizeof(tests) / sizeof(tests[0]), start, lab_end);
    buf_free(&seen.log);
    return failed;
}
