/* SPDX-License-Identifier: MIT */
/* What is promised of members when writes are lost, late or refused, and when their nodes die. */
#include "faults.h"
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void a_lost_change_is_noticed(void **state)
{
    static const char change[] = "local b, v, rest = string.match(redis.call('HGET', KEYS[1], "
                                 "'i'), '^(%d+ %d+) (%d+)(.*)$') "
                                 "redis.call('HSET', KEYS[1], 'i', b .. ' ' .. (v + 1) .. rest) "
                                 "redis.call('HSET', KEYS[1], 'mghost', '0 boo') "
                                 "redis.call('HDEL', KEYS[1], 'mm1') return 1";
    struct watcher w[2] = {0};
    char key[48];
    (void)state;
    lab_nodes(2);
    views_settle(w, 2);
    snprintf(key, sizeof(key), "%s", lab_key("r", "k"));
    freeReplyObject(redis_ask(redis, "EVAL %s 1 %s", change, key));
    claim(0, "k", "next", "v");
    WAIT(watcher_has(&w[0], "ghost", "boo") && watcher_has(&w[1], "ghost", "boo"));
    WAIT(store_stats(lab.nodes[0])->resnapshots > 0);
    WAIT(watcher_has(&w[0], "m1", "v")); /* gone by mistake, claimed again */
    WAIT(redis_count(redis, "HEXISTS %s mm1", key) == 1);
    views_stop(w, 2);
}

static void a_release_while_down_is_sent_later(void **state)
{
    struct watcher w[2] = {0};
    (void)state;
    lab.lease_ms = 6000;
    lab_nodes(2);
    views_settle(w, 2);
    redis_pause(redis);
    WAIT(views_stale(w, 2));
    release(1, "k", "m1");
    lab_run(100);
    redis_resume(redis);
    uint64_t back = lab_ms();
    WAIT(w[0].gones == 1);
    assert_true(lab_ms() - back < 3900); /* before it would have run out */
    views_stop(w, 2);
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static void release_all_gives_up_after_a_second(void **state)
{
    struct watcher w[1] = {0};
    bool done = false;
    (void)state;
    lab_nodes(1);
    views_settle(w, 1);
    redis_kill(redis);
    WAIT(views_stale(w, 1));
    uint64_t begin = lab_ms();
    store_release_all(lab.nodes[0], set_flag, &done);
    WAIT(done);
    assert_in_range(lab_ms() - begin, 900, 4000);
    views_stop(w, 1);
}

static void a_refused_key_is_tried_again(void **state)
{
    struct watcher w[1] = {0};
    (void)state;
    lab_nodes(1);
    freeReplyObject(redis_ask(redis, "SET %s not-a-hash", lab_key("r", "k")));
    claim(0, "k", "m0", "v");
    watcher_start(&w[0], lab.nodes[0], "k");
    WAIT(store_stats(lab.nodes[0])->errors > 1);
    lab_run(LEASE_MS);
    assert_true(store_stats(lab.nodes[0])->errors < 20); /* not as fast as it can */
    assert_false(store_ready(lab.nodes[0]));
    freeReplyObject(redis_ask(redis, "DEL %s", lab_key("r", "k")));
    WAIT(w[0].currents == 1 && roster_count(w[0].watch) == 1);
    WAIT(store_ready(lab.nodes[0]));
    views_stop(w, 1);
}

/* How often scripts ran at the server. */
static long long scripts_run(void)
{
    redisReply *info = redis_ask(redis, "INFO commandstats");
    const char *at = strstr(info->str, "cmdstat_evalsha:calls=");
    long long calls = at != NULL ? strtoll(strchr(at, '=') + 1, NULL, 10) : 0;
    freeReplyObject(info);
    return calls;
}

/* Views hear it from the beat; the keys are left alone until somebody touches them. */
static void a_dead_nodes_members_go_without_a_touch_of_their_keys(void **state)
{
    enum { MANY = 300 };
    struct watcher w[MANY] = {0};
    (void)state;
    lab_nodes(2);
    for (int i = 0; i < MANY; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        claim(1, key, "dead", "x");
        claim(0, key, "alive", "y");
        watcher_start(&w[i], lab.nodes[0], key);
    }
    for (int i = 0; i < MANY; i++) {
        WAIT(roster_count(w[i].watch) == 2 && w[i].currents > 0);
    }
    long long before = scripts_run();
    store_close(&lab.nodes[1]);
    uint64_t died = lab_ms();
    for (int i = 0; i < MANY; i++) {
        WAIT(w[i].gones == 1);
    }
    assert_in_range(lab_ms() - died, 1, LEASE_MS + LEASE_MS / 4);
    assert_in_range(scripts_run() - before, 1, 20);
    assert_int_equal(redis_count(redis, "HLEN %s", lab_key("r", "k7")), 3);
    claim(0, "k7", "alive", "z");
    WAIT(redis_count(redis, "HLEN %s", lab_key("r", "k7")) == 2); /* the next touch cleans it */
    assert_int_equal(w[7].gones, 1);
    for (int i = 0; i < MANY; i++) {
        watcher_stop(&w[i]);
    }
}

/* What a node said over a link that it gave up may arrive after what it has said since. */
static void a_late_write_is_put_right(void **state)
{
    static const char write[] =
        "local t = string.match(redis.call('HGET', KEYS[2], 'nnode0'), '^%d+') "
        "redis.call('HSET', KEYS[1], ARGV[1], t .. ' old') "
        "local b, v = string.match(redis.call('HGET', KEYS[1], 'i'), '^(%d+ %d+) (%d+)') "
        "redis.call('HSET', KEYS[1], 'i', b .. ' ' .. (v + 1)) "
        "return redis.call('PUBLISH', KEYS[3], b .. ' ' .. v .. ' ' .. (v + 1) .. ' 1\\n+' .. "
        "(#ARGV[1] - 1) .. ' 3 ' .. t .. '\\n' .. string.sub(ARGV[1], 2) .. 'old')";
    static const char *const members[] = {"mm0", "mleft"};
    struct watcher w[2] = {0};
    (void)state;
    lab_nodes(2);
    views_settle(w, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(redis_count(redis, "EVAL %s 3 %s %s:n %s %s", write, lab_key("r", "k"),
                                     lab.prefix, lab_key("w", "k"), members[i]),
                         2); /* the one that heard it */
        WAIT(strstr(watcher_log(&w[1]), i == 0 ? "+m0=old" : "+left=old") != NULL);
    }
    WAIT(watcher_has(&w[1], "m0", "v") && !watcher_has(&w[1], "left", "old"));
    assert_int_equal(redis_count(redis, "HLEN %s", lab_key("r", "k")), 3);
    views_stop(w, 2);
}

/* A full server refuses beats of all nodes alike: nobody dies of it. */
static void a_full_server_ends_no_lease(void **state)
{
    struct watcher w[2] = {0};
    (void)state;
    lab_nodes(2);
    views_settle(w, 2);
    freeReplyObject(redis_ask(redis, "CONFIG SET maxmemory 1"));
    WAIT(!store_ready(lab.nodes[0]) && !store_ready(lab.nodes[1]));
    lab_run(LEASE_MS * 2);
    claim(0, "k", "while full", "v");
    WAIT(w[0].stales > 0);
    freeReplyObject(redis_ask(redis, "CONFIG SET maxmemory 0"));
    WAIT(watcher_has(&w[1], "while full", "v") && nodes_ready(2));
    lab_run(LEASE_MS);
    assert_int_equal(w[0].gones + w[1].gones, 0);
    views_stop(w, 2);
}

static void keys_nobody_touches_vanish(void **state)
{
    char leases[48];
    (void)state;
    lab.lease_ms = 400;
    lab_nodes(1);
    claim(0, "k", "a", "b");
    WAIT(redis_count(redis, "EXISTS %s %s:n", lab_key("r", "k"), lab.prefix) == 2);
    store_close(&lab.nodes[0]);
    snprintf(leases, sizeof(leases), "%s:n", lab.prefix);
    const char *keys[] = {lab_key("r", "k"), leases};
    for (int i = 0; i < 2; i++) { /* a roster's life, and twice that for the leases */
        assert_in_range(redis_count(redis, "PTTL %s", keys[i]), 1190 * 400, (i + 1) * 1200 * 400);
    }
}

int test_lease_faults(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(a_lost_change_is_noticed),
        FAULT_TEST(a_release_while_down_is_sent_later),
        FAULT_TEST(release_all_gives_up_after_a_second),
        FAULT_TEST(a_refused_key_is_tried_again),
        FAULT_TEST(a_dead_nodes_members_go_without_a_touch_of_their_keys),
        FAULT_TEST(a_late_write_is_put_right),
        FAULT_TEST(a_full_server_ends_no_lease),
        FAULT_TEST(keys_nobody_touches_vanish),
    };
    return cmocka_run_group_tests_name("lease_faults", tests, NULL, NULL);
}
