/* SPDX-License-Identifier: MIT */
/* Who is online, of so many users that one turn has no time for all. Another node sees how many parts are claimed at a
 * time; a work of the loop beside takes as long as a part does (fake_clock.c). */
#include "node/service/chat/online.h"

#include "node/net/work.h"
#include "store/memory/memory.h"
#include "store/roster/roster.h"
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <unistd.h>

enum { USERS = 6400, STEP_US = 100, PARTS_PER_TURN = 8 };

struct online_bench {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct net *net;
    struct memory_hub *hub;
    struct store *store, *other;
    struct chat_online *online;
    struct roster_watch *watch;
    struct net_work beside;
    unsigned changes, sets, most; /* of the roster: all, parts in this one, and in any */
};

static bool take_time(struct net_work *work)
{
    (void)work;
    usleep(STEP_US);
    return true;
}

static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct online_bench *bench = arg;
    (void)member;
    if (event == ROSTER_SET || event == ROSTER_GONE) {
        bench->sets++;
        bench->most = bench->sets > bench->most ? bench->sets : bench->most;
    } else if (event == ROSTER_CHANGED) {
        bench->changes++;
        bench->sets = 0;
    }
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static struct store *open_store(struct online_bench *bench, const char *node)
{
    char error[200];
    struct store *store = store_open(&(struct store_options){.base = loop_base(bench->loop),
                                                             .url = "memory:",
                                                             .hub = bench->hub,
                                                             .prefix = "t",
                                                             .node = node,
                                                             .lease_ms = 1000},
                                     error, sizeof(error));
    assert_non_null(store);
    return store;
}

/* Some turns, and time for timers between them. */
static void turn(struct online_bench *bench, unsigned turns)
{
    for (; turns > 0; turns--) {
        usleep(10000);
        loop_again(bench->loop);
        loop_run(bench->loop);
    }
}

static int set_up(void **state)
{
    struct online_bench *bench = mem_zalloc(sizeof(*bench));
    bench->loop = loop_new();
    bench->wheel = wheel_new(bench->loop);
    bench->net = net_new(bench->loop, bench->wheel, &bench->metrics,
                         &(struct net_limits){.queue = 1 << 20, .connections = 2});
    bench->hub = memory_hub_new();
    bench->store = open_store(bench, "here");
    bench->other = open_store(bench, "there");
    bench->online = chat_online_new(&(struct chat_online_options){
        .store = bench->store, .wheel = bench->wheel, .net = bench->net, .node = "here"});
    bench->watch = roster_watch(bench->other, SPAN("chat:online"), on_roster, bench);
    net_work_init(&bench->beside, take_time);
    net_work_queue(bench->net, &bench->beside);
    loop_at_turn_end(bench->loop, stop, bench->loop);
    turn(bench, 50);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct online_bench *bench = *state;
    net_free(&bench->net);
    chat_online_free(&bench->online);
    roster_unwatch(&bench->watch);
    store_close(&bench->store);
    store_close(&bench->other);
    memory_hub_free(&bench->hub);
    wheel_free(&bench->wheel);
    loop_free(&bench->loop);
    free(bench);
    return 0;
}

static void log_in(struct online_bench *bench, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char name[32];
        snprintf(name, sizeof(name), "user-%u", i);
        chat_online_add(bench->online, name);
    }
}

static void test_not_all_parts_are_claimed_in_one_turn(void **state)
{
    struct online_bench *bench = *state;
    log_in(bench, 0, USERS / 2); /* each part is claimed with its first user, */
    turn(bench, 5);
    bench->most = bench->sets = 0;
    turn(bench, 200); /* and with all of them half a second later */
    assert_in_range(bench->most, 1, PARTS_PER_TURN);
    assert_true(bench->changes > 1 + CHAT_ONLINE_PARTS / PARTS_PER_TURN);
}

static bool count_user(void *arg, struct span user)
{
    (void)user;
    ++*(unsigned *)arg;
    return true;
}

/* A user on two nodes is one. */
static void test_each_user_is_in_one_part(void **state)
{
    struct online_bench *bench = *state;
    unsigned all = 0, others = 0;
    struct chat_online *there = chat_online_new(&(struct chat_online_options){
        .store = bench->other, .wheel = bench->wheel, .net = bench->net, .node = "there"});
    log_in(bench, 0, USERS);
    chat_online_add(there, "user-1");
    chat_online_add(there, "other");
    turn(bench, 200);
    for (unsigned part = 0; part < CHAT_ONLINE_PARTS; part++) {
        unsigned before = all;
        assert_true(chat_online_each(bench->online, part, count_user, &all));
        assert_in_range(all - before, 1, USERS / 16);
        assert_true(chat_online_each(there, part, count_user, &others));
    }
    assert_int_equal(all, USERS + 1);
    assert_int_equal(others, USERS + 1);
    chat_online_free(&there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_not_all_parts_are_claimed_in_one_turn, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_each_user_is_in_one_part, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
