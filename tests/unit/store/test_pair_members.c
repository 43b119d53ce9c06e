/* SPDX-License-Identifier: MIT */
/* History, members and listeners of a pair: what is promised when the replica takes over. */
#include "pair.h"
#include "reader.h"
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        if (each == 20 && pair_lags(kind)) {
            pair_stop_following();
        }
        append_numbers(0, each, each + 10, 1000, &outcome);
        append_numbers(1, each, each + 10, 1000, &outcome);
        WAIT(outcome.done == 2 * each + 20);
    }
    reader_start(&readers[2], 2); /* it hears none of these, now or when they are brought back */
    WAIT(readers[2].currents > 0);
    pair_fail_over(kind);
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
    if (pair_lags(kind)) {
        pair_stop_following();
        lab_run(LAG_MS);
    }
    pair_fail_over(kind);
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
    pair_stop_following();
    release(1, "k", "goes");
    WAIT(roster_count(watcher.watch) == 1);
    lab_run(LAG_MS);
    watcher_mark(&watcher);
    pair_fail_over(kind);
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

int test_pair_members(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(history_planned),
        PAIR_TEST(history_forced),
        PAIR_TEST(history_planned_with_a_replica_that_lags),
        PAIR_TEST(history_forced_with_a_replica_that_lags),
        PAIR_TEST(members_stay_planned),
        PAIR_TEST(members_stay_forced),
        PAIR_TEST(a_release_lost_planned),
        PAIR_TEST(a_release_lost_forced),
    };
    return cmocka_run_group_tests_name("pair_members", tests, NULL, NULL);
}
