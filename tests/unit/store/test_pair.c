/* SPDX-License-Identifier: MIT */
/* A master and its replica with a sentinel: what is promised when the replica takes over, by order or
 * because the master is gone, with all the master had or without the last of it; and appends that wait
 * for a replica. */
#include "reader.h"
#include "store/stream.h"
#include "store/stream_place.h"
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WRITERS = 3, MOST = 2000, LAG_MS = 700 };

static struct redis_server_process *const master = &lab.servers[0];
static struct redis_server_process *const replica = &lab.servers[1];

static int start_pair(void **state)
{
    lab_pair(state);
    return lab_setup(state);
}

static int start_pair_with_replicas(void **state)
{
    start_pair(state);
    lab.replicas = 1;
    return 0;
}

static int end_pair(void **state)
{
    lab_teardown(state);
    return lab_end(state);
}

/* ------------------------------------------------------------------------------------ fail-overs */

enum fail_over { PLANNED, FORCED, LAGGING_PLANNED, LAGGING_FORCED };

/* From now on the replica gets nothing. */
static void stop_following(void)
{
    redis_wait_follows(replica, master);
    freeReplyObject(redis_ask(replica, "REPLICAOF 127.0.0.1 1"));
}

static bool lags(enum fail_over kind)
{
    return kind == LAGGING_PLANNED || kind == LAGGING_FORCED;
}

/* The old master goes on in a planned one, for whoever still is there. */
static void fail_over(enum fail_over kind)
{
    if (kind == FORCED || kind == LAGGING_FORCED) {
        redis_kill(master);
    } else {
        redis_fail_over(&lab.sentinel);
    }
    lab_promoted();
}

/* ------------------------------------------------------------------------------------ the stream */

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

static void on_outcome(void *arg, enum stream_outcome outcome)
{
    *(enum stream_outcome *)arg = outcome;
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
            tail.asking = stream_read(lab.nodes[2], &from, 1, 1000, on_tail, NULL) == 0;
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
    if (lags(kind)) {
        stop_following();
        say(20);
        hear(LAG_MS);
    }
    say(20);
    fail_over(kind);
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
    assert_true(!lags(kind) || brought > 0);
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

/* The sentinel stands still after it has promoted the replica: those who were there stay with the old
 * master, and a node that starts is at the new one. */
static struct store *start_beside(void)
{
    char url[64];
    fail_over(PLANNED);
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

/* ------------------------------------------------------------------------------------ a history */

/* Of each writer in order, none twice, none missing. */
static void heard_in_order(struct reader *reader, int each)
{
    int next[2] = {0};
    struct span rest = buf_span(&reader->log);
    while (rest.len > 0) {
        struct span word = span_cut(&rest, ' ');
        char text[16] = "";
        if (word.len > 1 && word.len < sizeof(text)) {
            memcpy(text, word.ptr, word.len);
            assert_int_equal(atoi(text + 3), next[text[1] - '0']++);
        }
    }
    assert_int_equal(next[0], each);
    assert_int_equal(next[1], each);
    assert_int_equal(reader->losts, 0);
}

static void history_through(enum fail_over kind)
{
    struct reader readers[3] = {0};
    struct outcome outcome = {0};
    int each = 0;
    lab_nodes(3);
    for (int i = 0; i < 2; i++) {
        reader_start(&readers[i], i);
    }
    WAIT(readers[0].currents > 0 && readers[1].currents > 0);
    append_numbers(0, 0, 10, 1000, &outcome);
    append_numbers(1, 0, 10, 1000, &outcome);
    WAIT(outcome.done == 20);
    WAIT(readers[0].entries == 20);
    for (each = 10; each < 30; each += 10) {
        if (each == 20 && lags(kind)) {
            stop_following();
        }
        append_numbers(0, each, each + 10, 1000, &outcome);
        append_numbers(1, each, each + 10, 1000, &outcome);
        WAIT(outcome.done == 2 * each + 20);
    }
    reader_start(&readers[2], 2); /* it hears none of these, now or when they are brought back */
    WAIT(readers[2].currents > 0);
    fail_over(kind);
    for (; each < 80; each += 10) {
        append_numbers(0, each, each + 10, 1000, &outcome);
        append_numbers(1, each, each + 10, 1000, &outcome);
        lab_run(150);
    }
    WAIT(outcome.done == 2 * each);
    lab_run(1500);
    append_numbers(0, each, each + 1, 1000, &outcome);
    append_numbers(1, each, each + 1, 1000, &outcome);
    each++;
    WAIT(readers[0].entries >= 2 * each && readers[1].entries >= 2 * each &&
         readers[2].entries >= 2 * each - 60);
    lab_run(300);
    assert_int_equal(outcome.failed, 0);
    heard_in_order(&readers[0], each);
    heard_in_order(&readers[1], each);
    assert_int_equal(readers[2].entries, 2 * each - 60);
    assert_true(strstr(buf_text(&readers[2].log), "n0.29 ") == NULL);
    for (int i = 0; i < 3; i++) {
        reader_stop(&readers[i]);
    }
}

static void history_planned(void **state)
{
    (void)state;
    history_through(PLANNED);
}

static void history_forced(void **state)
{
    (void)state;
    history_through(FORCED);
}

static void history_planned_with_a_replica_that_lags(void **state)
{
    (void)state;
    history_through(LAGGING_PLANNED);
}

static void history_forced_with_a_replica_that_lags(void **state)
{
    (void)state;
    history_through(LAGGING_FORCED);
}

/* ------------------------------------------------------------------------------------ roster, bus */

static void members_and_listeners(enum fail_over kind)
{
    struct watcher watchers[3] = {0};
    struct listener listener = {0};
    lab_nodes(3);
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof(name), "m%d", i);
        claim(i, "k", name, "v");
        watcher_start(&watchers[i], lab.nodes[i], "k");
    }
    listener_start(&listener, lab.nodes[0], "t", BUS_NO_ECHO);
    for (int i = 0; i < 3; i++) {
        WAIT(roster_count(watchers[i].watch) == 3 && watchers[i].currents > 0);
        watcher_mark(&watchers[i]);
    }
    WAIT(listener.readies == 1);
    if (lags(kind)) {
        stop_following();
        lab_run(LAG_MS);
    }
    fail_over(kind);
    WAIT(watchers[0].currents > 0 && watchers[1].currents > 0 && watchers[2].currents > 0);
    WAIT(listener.readies == 2);
    assert_int_equal(publish(1, "t", "x"), 0);
    WAIT(listener.messages == 1);
    lab_run(LEASE_MS * 3 / 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(watchers[i].gones, 0);
        assert_int_equal(watchers[i].least, 3);
        assert_int_equal(watchers[i].most, 3);
        watcher_stop(&watchers[i]);
    }
    assert_string_equal(listener_log(&listener), "R G R 'x'");
    listener_stop(&listener);
}

static void members_stay_planned(void **state)
{
    (void)state;
    members_and_listeners(PLANNED);
}

static void members_stay_forced(void **state)
{
    (void)state;
    members_and_listeners(LAGGING_FORCED);
}

/* A node lets its only member of a key go, and knows nothing of the key any more; the next server never
 * hears of that. */
static void a_release_that_is_lost(enum fail_over kind)
{
    struct watcher watcher = {0};
    lab_nodes(2);
    claim(0, "k", "stays", "v");
    claim(1, "k", "goes", "v");
    watcher_start(&watcher, lab.nodes[0], "k");
    WAIT(roster_count(watcher.watch) == 2 && watcher.currents > 0);
    stop_following();
    release(1, "k", "goes");
    WAIT(roster_count(watcher.watch) == 1);
    lab_run(LAG_MS);
    watcher_mark(&watcher);
    fail_over(kind);
    WAIT(watcher.currents > 0);
    WAIT(roster_count(watcher.watch) == 1);
    assert_true(watcher_has(&watcher, "stays", "v"));
    assert_int_equal(watcher.least, 1);
    watcher_stop(&watcher);
}

static void a_release_lost_planned(void **state)
{
    (void)state;
    a_release_that_is_lost(LAGGING_PLANNED);
}

static void a_release_lost_forced(void **state)
{
    (void)state;
    a_release_that_is_lost(LAGGING_FORCED);
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
    fail_over(FORCED);
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

#define PAIR_TEST(function) cmocka_unit_test_setup_teardown(function, start_pair, end_pair)
#define REPLICA_TEST(function)                                                                     \
    cmocka_unit_test_setup_teardown(function, start_pair_with_replicas, end_pair)

int test_pair(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(stream_planned),
        PAIR_TEST(stream_forced),
        PAIR_TEST(stream_planned_with_a_replica_that_lags),
        PAIR_TEST(stream_forced_with_a_replica_that_lags),
        PAIR_TEST(stream_of_two_masters),
        PAIR_TEST(history_planned),
        PAIR_TEST(history_forced),
        PAIR_TEST(history_planned_with_a_replica_that_lags),
        PAIR_TEST(history_forced_with_a_replica_that_lags),
        PAIR_TEST(members_stay_planned),
        PAIR_TEST(members_stay_forced),
        PAIR_TEST(a_release_lost_planned),
        PAIR_TEST(a_release_lost_forced),
        REPLICA_TEST(what_a_replica_has_is_accepted),
        REPLICA_TEST(what_no_replica_has_is_not_accepted),
        REPLICA_TEST(a_master_that_goes_while_a_replica_is_waited_for),
        LAB_TEST(memory_has_none),
    };
    return cmocka_run_group_tests_name("pair", tests, NULL, NULL);
}
