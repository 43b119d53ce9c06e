/* SPDX-License-Identifier: MIT */
/* The stream of a pair: what is promised when the replica takes over, and appends that wait for a replica. */
#include "pair.h"
#include "reader.h"
#include "store/stream.h"
#include "store/stream_place.h"
#include "store/stream_read.h"
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WRITERS = 3, MOST = 2000 };

/* Entries "<writer>.<number>": which were accepted, and how often each was heard. */
static struct {
    int next[WRITERS], heard[WRITERS][MOST];
    enum stream_outcome outcome[WRITERS][MOST];
    int answers;
    struct stream_place place;
    uint64_t missing;
    bool asking;
} tail;

static void tail_begin(void)
{
    stream_place_deinit(&tail.place);
    memset(&tail, 0, sizeof(tail));
    memset(tail.outcome, -1, sizeof(tail.outcome));
    stream_place_init(&tail.place);
}

static void on_outcome(void *arg, const struct stream_result *result)
{
    *(enum stream_outcome *)arg = result->outcome;
    tail.answers++;
}

/* As far as the store takes it. Writer 2 is the fourth node: the third one listens. */
static void say_by(int writer, int count)
{
    for (int i = 0; i < count; i++) {
        char text[16];
        int number = tail.next[writer];
        snprintf(text, sizeof(text), "%d.%d", writer, number);
        struct stream_item item = {0, SPAN("t"), span_str(text)};
        assert_true(number < MOST);
        if (stream_append(lab.nodes[writer < 2 ? writer : 3], &item, 1, on_outcome,
                          &tail.outcome[writer][number]) == 0) {
            tail.next[writer]++;
        }
    }
}

/* By the two writers that are there all the time. */
static void say(int count)
{
    for (int i = 0; i < count; i++) {
        say_by(0, 1);
        say_by(1, 1);
    }
}

static void on_tail(void *arg, bool ok, const struct stream_head *head,
                    const struct stream_entry *entries, size_t count)
{
    (void)arg;
    tail.asking = false;
    if (ok && !stream_place_is_in(&tail.place, head)) {
        stream_place_follow(&tail.place, head);
        return;
    }
    for (size_t i = 0; ok && i < count; i++) {
        uint64_t missing;
        char text[16] = "";
        memcpy(text, entries[i].payload.ptr, entries[i].payload.len);
        if (stream_place_take(&tail.place, &entries[i], &missing)) {
            tail.heard[text[0] - '0'][atoi(text + 2)]++;
        }
        tail.missing += missing;
    }
}

/* The third node listens while time passes. */
static void hear(unsigned ms)
{
    uint64_t end = lab_ms() + ms;
    while (lab_ms() < end) {
        struct stream_from from = {0, tail.place.seq};
        if (!tail.asking) {
            tail.asking = stream_read(lab.nodes[2], 0, &from, 1, 1000, on_tail, NULL) == 0;
        }
        lab_turn();
    }
}

static int said(void)
{
    return tail.next[0] + tail.next[1] + tail.next[2];
}

static int with_outcome(enum stream_outcome outcome)
{
    int count = 0;
    for (int w = 0; w < WRITERS; w++) {
        for (int i = 0; i < tail.next[w]; i++) {
            count += tail.outcome[w][i] == outcome;
        }
    }
    return count;
}

/* What was accepted is heard, once; nothing else more than once. */
static void each_is_heard_once(void)
{
    for (int w = 0; w < WRITERS; w++) {
        for (int i = 0; i < tail.next[w]; i++) {
            bool accepted = tail.outcome[w][i] == STREAM_STORED;
            if (tail.heard[w][i] > 1 || (accepted && tail.heard[w][i] == 0)) {
                fail_msg("%d.%d: outcome %d, heard %d times", w, i, (int)tail.outcome[w][i],
                         tail.heard[w][i]);
            }
        }
    }
    assert_int_equal(tail.missing, 0);
}

static void stream_through(enum fail_over kind)
{
    tail_begin();
    lab_nodes(3);
    say(20);
    WAIT(tail.answers == said());
    hear(50);
    if (pair_lags(kind)) {
        pair_stop_following();
        say(20);
        hear(LAG_MS);
    }
    say(20);
    pair_fail_over(kind);
    for (int i = 0; i < 10; i++) {
        say(5);
        hear(100);
    }
    WAIT(store_ready(lab.nodes[0]) && store_ready(lab.nodes[1]) && store_ready(lab.nodes[2]));
    say(20);
    WAIT(tail.answers == said());
    hear(1500); /* a beat: a planned fail-over is noticed by then */
    say(5);
    WAIT(tail.answers == said());
    hear(500);
    each_is_heard_once();
    assert_int_equal(tail.outcome[0][tail.next[0] - 1], STREAM_STORED);
    assert_true(redis_count(master, "XLEN %s", lab_lane(0)) > 0);
    uint64_t brought = store_stats(lab.nodes[0])->brought + store_stats(lab.nodes[1])->brought;
    assert_true(!pair_lags(kind) || brought > 0);
    assert_int_equal(store_stats(lab.nodes[0])->lost + store_stats(lab.nodes[1])->lost, 0);
    tail_begin();
}

static void stream_planned(void **state)
{
    (void)state;
    stream_through(PLANNED);
}

static void stream_forced(void **state)
{
    (void)state;
    stream_through(FORCED);
}

static void stream_planned_with_a_replica_that_lags(void **state)
{
    (void)state;
    stream_through(LAGGING_PLANNED);
}

static void stream_forced_with_a_replica_that_lags(void **state)
{
    (void)state;
    stream_through(LAGGING_FORCED);
}

/* The sentinel stands still after it has promoted the replica: clients that were there stay with the old
 * master, and a node that starts is at the new one. */
static struct store *start_beside(void)
{
    char url[64];
    pair_fail_over(PLANNED);
    redis_pause(&lab.sentinel);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", master->port);
    return lab_node_at(3, url);
}

static void stream_of_two_masters(void **state)
{
    (void)state;
    tail_begin();
    lab_nodes(3);
    say(20);
    hear(200);
    struct store *fourth = start_beside();
    WAIT(store_ready(fourth));
    for (int i = 0; i < 5; i++) {
        say_by(2, 10);
        hear(20);
        say(10);
        hear(20);
    }
    WAIT(tail.answers == said());
    hear(100);
    assert_int_equal(tail.heard[2][0], 0);
    assert_int_equal(tail.heard[0][tail.next[0] - 1], 1);
    redis_resume(&lab.sentinel);
    WAIT(lab.links_up[0] == 2 && lab.links_up[1] == 2 && lab.links_up[2] == 2);
    say(5);
    say_by(2, 5);
    WAIT(tail.answers == said());
    hear(500);
    each_is_heard_once();
    assert_int_equal(with_outcome(STREAM_STORED), said());
    tail_begin();
}

int test_pair_stream(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(stream_planned),
        PAIR_TEST(stream_forced),
        PAIR_TEST(stream_planned_with_a_replica_that_lags),
        PAIR_TEST(stream_forced_with_a_replica_that_lags),
        PAIR_TEST(stream_of_two_masters),
    };
    return cmocka_run_group_tests_name("pair_stream", tests, NULL, NULL);
}

/* ------------------------------------------------------------------------------------ replicas */

static void what_a_replica_has_is_accepted(void **state)
{
    struct outcome outcome = {0};
    (void)state;
    tail_begin();
    lab_nodes(3);
    for (int i = 0; i < 20; i++) {
        say(10);
        lab_turn();
    }
    append_numbers(0, 0, 50, 1000, &outcome);
    WAIT(tail.answers == said() && outcome.done == 50);
    assert_int_equal(with_outcome(STREAM_STORED), 400);
    redis_pause(master); /* the replica has it without the master */
    assert_int_equal(redis_count(replica, "XLEN %s", lab_lane(0)), 400);
    redis_resume(master);
    const struct store_stats *stats = store_stats(lab.nodes[0]);
    assert_in_range(stats->replica_waits, 1, 100); /* of 250 appends: a batch waits once */
    assert_int_equal(stats->replica_timeouts, 0);
    tail_begin();
}

static void what_no_replica_has_is_not_accepted(void **state)
{
    struct outcome outcome = {0};
    struct reader reader = {0};
    (void)state;
    tail_begin();
    lab_nodes(3);
    reader_start(&reader, 1);
    WAIT(reader.currents > 0);
    say(1);
    WAIT(with_outcome(STREAM_STORED) == 2);
    redis_pause(replica);
    uint64_t since = lab_ms();
    say(1);
    append_for(0, "alone", 100, WAIT_MS, &outcome);
    WAIT(with_outcome(STREAM_ALONE) == 2 && outcome.failed == 1);
    assert_in_range(lab_ms() - since, STORE_REPLICAS_MS - 200, STORE_REPLICAS_MS * 2 + 1000);
    assert_int_equal(outcome.done, 0);
    assert_true(store_stats(lab.nodes[0])->replica_timeouts > 0);
    redis_resume(replica);
    say(1);
    append_for(0, "together", 100, WAIT_MS, &outcome);
    WAIT(with_outcome(STREAM_STORED) == 4 && outcome.done == 1);
    WAIT(reader.entries == 2);
    lab_run(100);
    assert_int_equal(reader.entries, 2);
    reader_stop(&reader);
    tail_begin();
}

/* What was not said to be accepted when the master went is asked again of the new one: there is no
 * replica then, so it is not accepted either, and stored once. */
static void a_master_that_goes_while_a_replica_is_waited_for(void **state)
{
    (void)state;
    tail_begin();
    lab_nodes(3);
    say(10);
    WAIT(with_outcome(STREAM_STORED) == 20);
    redis_pause(replica);
    say(10);
    lab_run(200);
    redis_resume(replica);
    redis_wait_follows(replica, master);
    pair_fail_over(FORCED);
    WAIT(tail.answers == said());
    WAIT(store_ready(lab.nodes[0]) && store_ready(lab.nodes[1]) && store_ready(lab.nodes[2]));
    hear(500);
    for (int w = 0; w < WRITERS; w++) {
        for (int i = 0; i < tail.next[w]; i++) {
            assert_int_equal(tail.heard[w][i], 1);
        }
    }
    tail_begin();
}

static void memory_has_none(void **state)
{
    char error[128] = "";
    struct store_options options = {.base = lab.base,
                                    .url = "memory:",
                                    .prefix = "p",
                                    .node = "n",
                                    .lease_ms = LEASE_MS,
                                    .replicas = 1};
    (void)state;
    assert_null(store_open(&options, error, sizeof(error)));
    assert_string_equal(error, "memory: has no replicas to wait for");
}

int test_replicas(void)
{
    const struct CMUnitTest tests[] = {
        REPLICA_TEST(what_a_replica_has_is_accepted),
        REPLICA_TEST(what_no_replica_has_is_not_accepted),
        REPLICA_TEST(a_master_that_goes_while_a_replica_is_waited_for),
        LAB_TEST(memory_has_none),
    };
    return cmocka_run_group_tests_name("replicas", tests, NULL, NULL);
}
