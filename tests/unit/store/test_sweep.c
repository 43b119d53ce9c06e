/* SPDX-License-Identifier: MIT */
/* What happens to all topics and all rosters of a node at once is told to each, in turns: none of them
 * goes over all. */
#include "store/bus_impl.h"
#include "store/lookup.h"
#include "store/store_impl.h"
#include "store/sweep.h"
#include "tests.h"

#include <stdio.h>
#include <unistd.h>

enum { MANY = 2000, TOLD_PER_TURN = 64 };

static struct listener listeners[MANY];
static struct watcher watchers[MANY];

struct told {
    int gaps, readies, stales, currents;
};

static struct told count(void)
{
    struct told told = {0};
    for (int i = 0; i < MANY; i++) {
        told.gaps += listeners[i].gaps;
        told.readies += listeners[i].readies;
        told.stales += watchers[i].stales;
        told.currents += watchers[i].currents;
    }
    return told;
}

static void begin(void)
{
    memset(listeners, 0, sizeof(listeners));
    memset(watchers, 0, sizeof(watchers));
    lab_nodes(1);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i);
        listener_attend(&listeners[i], lab.nodes[0], name);
        claim(0, name, "n", "1");
        watcher_start(&watchers[i], lab.nodes[0], name);
    }
    WAIT(count().readies == MANY && count().currents >= MANY);
}

static void end(void)
{
    for (int i = 0; i < MANY; i++) {
        listener_stop(&listeners[i]);
        watcher_stop(&watchers[i]);
    }
}

/* One turn; how many were told something in it, which is not more than a turn may tell. */
static struct told turn(const struct told *before, uint64_t *swept)
{
    uint64_t steps = lab.nodes[0]->stats.swept;
    lab_turn();
    struct told now = count();
    int told = now.gaps - before->gaps + now.stales - before->stales;
    assert_true(told <= 2 * TOLD_PER_TURN);
    steps = lab.nodes[0]->stats.swept - steps;
    assert_true(steps <= 2 * SWEEP_STEPS * TOLD_PER_TURN / 8);
    *swept += steps;
    return now;
}

static void a_gap_is_told_in_turns(void **state)
{
    (void)state;
    uint64_t swept = 0;
    begin();
    struct told now = count();
    bus_attended_gap(lab.nodes[0], 0);
    assert_int_equal(count().gaps, now.gaps);
    int turns = 0, until = now.gaps + MANY;
    for (; now.gaps < until; turns++) {
        now = turn(&now, &swept);
    }
    assert_true(turns >= MANY / TOLD_PER_TURN / 2);
    assert_true(swept >= MANY / 2);
    WAIT(count().readies == 2 * MANY);
    end();
}

/* The link goes and is back before most have been told that it went. */
static void a_link_is_told_in_turns(void **state)
{
    (void)state;
    uint64_t swept = 0;
    const struct shard_set one = shard_set_one(0);
    begin();
    struct told now = count(), first = now;
    store_on_link(lab.nodes[0], &one, false, "gone");
    for (int i = 0; i < 4; i++) {
        now = turn(&now, &swept);
    }
    assert_true(now.stales < first.stales + MANY);
    store_on_link(lab.nodes[0], &one, true, "back");
    while (now.stales < first.stales + MANY || now.gaps < first.gaps + MANY) {
        now = turn(&now, &swept);
    }
    WAIT(count().currents >= first.currents + MANY && count().readies == 2 * MANY);
    assert_int_equal(count().stales, first.stales + MANY);
    end();
}

struct answers {
    int all, in_turn;
};

static void on_answer(void *arg, uint64_t tag, enum lookup_result result, struct span value)
{
    struct answers *answers = arg;
    (void)tag, (void)result, (void)value;
    answers->all++;
    answers->in_turn++;
}

/* They lie in the socket together, and are taken from it in one read. */
static void replies_are_taken_in_turns(void **state)
{
    (void)state;
    enum { ASKED = 1000, TAKEN_PER_TURN = 128 };
    struct answers answers = {0};
    const struct lookup_then then = {on_answer, &answers, 0};
    int turns = 0;
    lab_nodes(1);
    for (int i = 0; i < ASKED; i++) {
        assert_int_equal(lookup_get(lab.nodes[0], SPAN("k"), &then), 0);
    }
    while (answers.all < ASKED) {
        answers.in_turn = 0;
        lab_turn();
        assert_true(answers.in_turn <= TAKEN_PER_TURN);
        turns += answers.in_turn > 0;
        usleep(turns == 0 ? 1000 : 0);
    }
    assert_true(turns >= ASKED / TAKEN_PER_TURN);
}

int test_sweep(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(a_gap_is_told_in_turns),
        LAB_TEST(a_link_is_told_in_turns),
    };
    const struct CMUnitTest at_redis[] = {LAB_TEST(replies_are_taken_in_turns)};
    return cmocka_run_group_tests_name("sweep", tests, lab_memory, lab_end) +
           cmocka_run_group_tests_name("replies", at_redis, lab_redis, lab_end);
}
