/* SPDX-License-Identifier: MIT */
/* What is promised when Redis breaks. */
#include "proxy.h"
#include "store/stream.h"
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct redis_server_process *const redis = &lab.servers[0];
static struct redis_server_process *const other = &lab.servers[1];

/* Each test has servers of its own. */
static int start_servers(void **state)
{
    lab_redis(state);
    return lab_setup(state);
}

static int end_servers(void **state)
{
    lab_teardown(state);
    redis_kill(other);
    other->port = 0;
    return lab_end(state);
}

/* `count` nodes, each with a member "m<i>" in "k" and a watch of it that is current. */
static void settle(struct watcher *w, int count)
{
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%d", i);
        claim(i, "k", name, "v");
        watcher_start(&w[i], lab.nodes[i], "k");
    }
    for (int i = 0; i < count; i++) {
        WAIT((int)roster_count(w[i].watch) == count && w[i].currents > 0);
        watcher_mark(&w[i]);
    }
}

/* No watcher ever saw anything but `count` members, and nobody left. */
static void never_flickered(struct watcher *w, int count)
{
    for (int i = 0; i < count; i++) {
        if (w[i].gones != 0 || w[i].sets != 0 || (int)w[i].least != count ||
            (int)w[i].most != count) {
            fail_msg("watcher %d: %s", i, watcher_log(&w[i]));
        }
    }
}

static void stop(struct watcher *w, int count)
{
    for (int i = 0; i < count; i++) {
        watcher_stop(&w[i]);
    }
}

static bool all_current(struct watcher *w, int count)
{
    for (int i = 0; i < count; i++) {
        if (w[i].currents == 0) {
            return false;
        }
    }
    return true;
}

static bool all_stale(struct watcher *w, int count)
{
    for (int i = 0; i < count; i++) {
        if (w[i].stales == 0) {
            return false;
        }
    }
    return true;
}

static bool all_ready(int count)
{
    for (int i = 0; i < count; i++) {
        if (!store_ready(lab.nodes[i])) {
            return false;
        }
    }
    return true;
}

static void restarted_empty(void **state)
{
    struct watcher w[3] = {0};
    (void)state;
    lab_nodes(3);
    settle(w, 3);
    for (int round = 0; round < 2; round++) {
        redis_kill(redis);
        redis_start(redis, NULL, NULL);
        WAIT(all_stale(w, 3) && all_current(w, 3));
        never_flickered(w, 3);
        lab_run(LEASE_MS * 3 / 2);
        never_flickered(w, 3);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(w[i].stales, 1);
            watcher_mark(&w[i]);
        }
    }
    assert_true(store_stats(lab.nodes[0])->reconnects >= 2);
    stop(w, 3);
}

static void who_died_while_it_restarted_empty_goes_within_a_lease(void **state)
{
    struct watcher w[3] = {0};
    (void)state;
    lab_nodes(3);
    settle(w, 3);
    redis_kill(redis);
    watcher_stop(&w[2]);
    store_close(&lab.nodes[2]);
    redis_start(redis, NULL, NULL);
    WAIT(all_current(w, 2));
    uint64_t back = lab_ms();
    assert_int_equal(w[0].gones, 0); /* it might still come */
    WAIT(w[0].gones == 1 && w[1].gones == 1);
    assert_in_range(lab_ms() - back, LEASE_MS / 3, LEASE_MS + LEASE_MS / 2);
    assert_int_equal(w[0].least, 2);
    assert_int_equal(w[0].sets + w[1].sets, 0);
    stop(w, 2);
}

static void flushed(void **state)
{
    struct watcher w[2] = {0};
    (void)state;
    lab_nodes(2);
    settle(w, 2);
    freeReplyObject(redis_ask(redis, "FLUSHALL"));
    WAIT(redis_count(redis, "HLEN %s", lab_key("r", "k")) == 3);
    lab_run(LEASE_MS * 3 / 2);
    never_flickered(w, 2);
    assert_int_equal(w[0].stales, 0);
    claim(0, "k", "new", "v");
    WAIT(watcher_has(&w[1], "new", "v") && w[0].currents > 0);
    stop(w, 2);
}

static void paused_for_two_leases(void **state)
{
    struct watcher w[3] = {0};
    struct listener l = {0};
    (void)state;
    lab_nodes(3);
    settle(w, 3);
    listener_start(&l, lab.nodes[0], "t", BUS_ECHO);
    WAIT(l.readies == 1);
    redis_pause(redis);
    lab_run(2 * LEASE_MS);
    WAIT(!store_ready(lab.nodes[0]) && all_stale(w, 3));
    assert_int_equal(l.gaps, 1);
    assert_int_equal(publish(0, "t", "x"), -1);
    redis_resume(redis);
    WAIT(all_current(w, 3) && l.readies == 2);
    lab_run(LEASE_MS * 3 / 2);
    never_flickered(w, 3);
    assert_int_equal(publish(0, "t", "x"), 0);
    WAIT(l.messages == 1);
    assert_string_equal(listener_log(&l), "R G R 'x'");
    listener_stop(&l);
    stop(w, 3);
}

static void paused_for_a_moment(void **state)
{
    struct watcher w[3] = {0};
    (void)state;
    lab_nodes(3);
    settle(w, 3);
    for (unsigned tenths = 3; tenths <= 7; tenths++) {
        redis_pause(redis);
        lab_run(tenths * LEASE_MS / 10);
        redis_resume(redis);
        lab_run(LEASE_MS / 2);
    }
    WAIT(all_ready(3));
    never_flickered(w, 3);
    stop(w, 3);
}

static void gone_for_a_while(void **state)
{
    struct watcher w[2] = {0};
    struct listener l[2] = {0};
    (void)state;
    lab_nodes(2);
    settle(w, 2);
    claim(0, "k", "left", "v");
    listener_start(&l[0], lab.nodes[0], "t", BUS_NO_ECHO);
    listener_start(&l[1], lab.nodes[1], "t", BUS_NO_ECHO);
    WAIT(l[0].readies == 1 && l[1].readies == 1 && watcher_has(&w[1], "left", "v"));
    redis_kill(redis);
    WAIT(all_stale(w, 2) && l[0].gaps == 1 && l[1].gaps == 1);
    assert_false(store_ready(lab.nodes[0]));
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(publish(0, "t", "lost"), -1);
    }
    assert_int_equal(store_stats(lab.nodes[0])->unpublished, 1000);
    release(0, "k", "left");
    claim(0, "k", "made while down", "v");
    claim(0, "k", "m0", "changed while down");
    struct listener late = {0};
    struct watcher late_watch = {0};
    listener_start(&late, lab.nodes[1], "t", BUS_NO_ECHO);
    watcher_start(&late_watch, lab.nodes[1], "new key");
    WAIT(late_watch.stales == 1);
    lab_run(LEASE_MS);
    watcher_mark(&w[0]);
    watcher_mark(&w[1]);
    redis_start(redis, NULL, NULL);
    WAIT(all_current(w, 2) && l[0].readies == 2 && l[1].readies == 2 && late.readies == 1);
    WAIT(late_watch.currents == 1);
    WAIT(watcher_has(&w[1], "made while down", "v"));
    WAIT(watcher_has(&w[1], "m0", "changed while down"));
    WAIT(!watcher_has(&w[1], "left", "v"));
    assert_int_equal(publish(0, "t", "again"), 0);
    WAIT(l[1].messages == 1 && late.messages == 1);
    assert_string_equal(listener_log(&l[1]), "R G R 'again'");
    assert_string_equal(listener_log(&late), "R 'again'");
    assert_string_equal(watcher_log(&late_watch), "S * C");
    assert_int_equal(store_stats(lab.nodes[0])->reconnects, 1);
    listener_stop(&l[0]);
    listener_stop(&l[1]);
    listener_stop(&late);
    watcher_stop(&late_watch);
    stop(w, 2);
}

static void what_is_queued_is_bounded(void **state)
{
    enum { SIZE = 64 * 1024, MOST = 400 }; /* 25 MiB */
    char *payload = mem_zalloc(SIZE);
    int accepted = 0;
    (void)state;
    lab_nodes(1);
    redis_pause(redis);
    while (accepted < MOST && bus_publish(lab.nodes[0], SPAN("t"), span_of(payload, SIZE)) == 0) {
        accepted++;
    }
    assert_in_range(accepted, 200, 300);
    assert_true(store_stats(lab.nodes[0])->unpublished > 0);
    redis_resume(redis);
    WAIT(bus_publish(lab.nodes[0], SPAN("t"), span_of(payload, SIZE)) == 0);
    free(payload);
}

/* After a fail-over the old connections stay up: the subscribed one on the old server, the command
 * connection on the new one. */
static void replaced_while_tcp_stays_up(void **state)
{
    struct watcher w[2] = {0};
    struct listener l = {0};
    struct proxy *proxy = proxy_new(lab.base, redis->port);
    char url[64];
    (void)state;
    redis_start(other, NULL, NULL);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", proxy_port(proxy));
    lab_node_at(0, url);
    WAIT(store_ready(lab.nodes[0]) && proxy_accepted(proxy) == 2);
    lab_node_at(1, url);
    WAIT(store_ready(lab.nodes[1]) && proxy_accepted(proxy) == 4);
    settle(w, 2);
    listener_start(&l, lab.nodes[1], "t", BUS_NO_ECHO);
    WAIT(l.readies == 1);
    proxy_switch(proxy, other->port);
    for (int i = 0; i < 4; i += 2) { /* each link connects its command connection first */
        proxy_retarget(proxy, i, other->port);
    }
    WAIT(all_stale(w, 2));
    assert_non_null(strstr(lab.last_text, "does not come back"));
    WAIT(all_current(w, 2) && l.readies == 2);
    assert_true(redis_count(other, "HLEN %s", lab_key("r", "k")) == 3);
    lab_run(LEASE_MS * 3 / 2);
    never_flickered(w, 2);
    publish(0, "t", "x");
    WAIT(l.messages == 1);
    listener_stop(&l);
    stop(w, 2);
    for (int i = 0; i < 2; i++) {
        store_close(&lab.nodes[i]);
    }
    proxy_free(&proxy);
}

static void connections_on_different_servers(void **state)
{
    struct proxy *proxy = proxy_new(lab.base, redis->port);
    char url[64];
    (void)state;
    redis_start(other, NULL, NULL);
    proxy_split(proxy, redis->port, other->port);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", proxy_port(proxy));
    lab_node_at(0, url);
    WAIT(lab.links_down[0] > 0);
    assert_int_equal(lab.links_up[0], 0);
    assert_non_null(strstr(lab.last_text, "does not come back"));
    proxy_switch(proxy, other->port);
    WAIT(store_ready(lab.nodes[0]));
    assert_true(lab.bus_lags > 0);
    store_close(&lab.nodes[0]);
    proxy_free(&proxy);
}

static void a_connection_falls_silent(void **state)
{
    struct proxy *proxy = proxy_new(lab.base, redis->port);
    struct watcher w[1] = {0};
    char url[64];
    (void)state;
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", proxy_port(proxy));
    lab_node_at(0, url);
    WAIT(store_ready(lab.nodes[0]));
    settle(w, 1);
    for (int i = 0; i < 2; i++) {
        int accepted = proxy_accepted(proxy);
        proxy_mute(proxy, accepted - 1 - i);
        WAIT(w[0].stales == 1);
        WAIT(w[0].currents == 1 && proxy_accepted(proxy) > accepted);
        never_flickered(w, 1);
        watcher_mark(&w[0]);
    }
    proxy_cut(proxy, proxy_accepted(proxy) - 1);
    WAIT(w[0].stales == 1 && w[0].currents == 1);
    stop(w, 1);
    store_close(&lab.nodes[0]);
    proxy_free(&proxy);
}

static void subscribers_killed(void **state)
{
    struct watcher w[2] = {0};
    struct listener l = {0};
    (void)state;
    lab_nodes(2);
    settle(w, 2);
    listener_start(&l, lab.nodes[0], "t", BUS_NO_ECHO);
    WAIT(l.readies == 1);
    for (int i = 1; i <= 3; i++) {
        freeReplyObject(
            redis_ask(redis, i < 3 ? "CLIENT KILL TYPE pubsub" : "CLIENT KILL TYPE normal"));
        WAIT(l.gaps == i && l.readies == i + 1 && all_stale(w, 2) && all_current(w, 2));
        never_flickered(w, 2);
        watcher_mark(&w[0]);
        watcher_mark(&w[1]);
    }
    publish(1, "t", "x");
    WAIT(l.messages == 1);
    listener_stop(&l);
    stop(w, 2);
}

static void scripts_forgotten(void **state)
{
    struct watcher w[2] = {0};
    (void)state;
    lab_nodes(2);
    settle(w, 2);
    freeReplyObject(redis_ask(redis, "SCRIPT FLUSH"));
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%d", i);
        claim(0, key, "a", "b");
    }
    claim(0, "k", "new", "v");
    WAIT(watcher_has(&w[1], "new", "v"));
    WAIT(redis_count(redis, "KEYS %s:*:r:key*", lab.prefix) == 300);
    assert_int_equal(w[0].stales + w[1].stales + w[0].gones + w[1].gones, 0);
    stop(w, 2);
}

static void wrong_password(void **state)
{
    char url[64];
    (void)state;
    redis_kill(redis);
    redis_start(redis, "--requirepass", "right");
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", redis->port);
    lab_node_at(0, url);
    WAIT(lab.links_down[0] > 1);
    assert_non_null(strstr(lab.last_text, "NOAUTH"));
    store_close(&lab.nodes[0]);
    snprintf(url, sizeof(url), "redis://:geheim@127.0.0.1:%d", redis->port);
    lab_node_at(1, url);
    WAIT(lab.links_down[1] > 1);
    assert_non_null(strstr(lab.last_text, "WRONGPASS"));
    assert_null(strstr(lab.last_text, "geheim"));
    store_close(&lab.nodes[1]);
    snprintf(url, sizeof(url), "redis://default:%%72ight@127.0.0.1:%d", redis->port);
    lab_node_at(2, url);
    WAIT(store_ready(lab.nodes[2]));
}

static void a_replica_is_refused(void **state)
{
    struct watcher w[1] = {0};
    char url[64];
    (void)state;
    redis_start(other, NULL, NULL);
    freeReplyObject(redis_ask(other, "REPLICAOF 127.0.0.1 %d", redis->port));
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", other->port);
    lab_node_at(0, url);
    WAIT(lab.links_down[0] > 0);
    assert_non_null(strstr(lab.last_text, "READONLY"));
    freeReplyObject(redis_ask(other, "REPLICAOF NO ONE"));
    WAIT(store_ready(lab.nodes[0]));
    settle(w, 1);
    freeReplyObject(redis_ask(other, "REPLICAOF 127.0.0.1 %d", redis->port));
    WAIT(w[0].stales == 1 && !store_ready(lab.nodes[0]));
    assert_non_null(strstr(lab.last_text, "READONLY"));
    freeReplyObject(redis_ask(other, "REPLICAOF NO ONE"));
    WAIT(w[0].currents == 1);
    never_flickered(w, 1);
    stop(w, 1);
}

static void on_entries(void *arg, bool ok, const struct stream_head *head,
                       const struct stream_entry *entries, size_t count)
{
    int *failed = arg;
    (void)head, (void)entries, (void)count;
    *failed += !ok;
}

/* The first of two answers ends the link, and with that the second question; what both share is not
 * gone then (which a sanitizer sees). */
static void a_question_whose_first_answer_ends_the_link(void **state)
{
    const struct stream_from from = {0, 0};
    int failed = 0;
    (void)state;
    lab_nodes(1);
    stream_setup(lab.nodes[0], &(struct stream_limits){1, 100, true});
    freeReplyObject(redis_ask(redis, "CONFIG SET replica-serve-stale-data no"));
    freeReplyObject(redis_ask(redis, "REPLICAOF 127.0.0.1 1"));
    assert_int_equal(stream_read(lab.nodes[0], &from, 1, 10, on_entries, &failed), 0);
    WAIT(failed == 1);
    WAIT(strstr(lab.last_text, "MASTERDOWN") != NULL);
    freeReplyObject(redis_ask(redis, "REPLICAOF NO ONE"));
    WAIT(store_ready(lab.nodes[0]));
    assert_int_equal(failed, 1);
}

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
    settle(w, 2);
    snprintf(key, sizeof(key), "%s", lab_key("r", "k"));
    freeReplyObject(redis_ask(redis, "EVAL %s 1 %s", change, key));
    claim(0, "k", "next", "v");
    WAIT(watcher_has(&w[0], "ghost", "boo") && watcher_has(&w[1], "ghost", "boo"));
    WAIT(store_stats(lab.nodes[0])->resnapshots > 0);
    WAIT(watcher_has(&w[0], "m1", "v")); /* gone by mistake, claimed again */
    WAIT(redis_count(redis, "HEXISTS %s mm1", key) == 1);
    stop(w, 2);
}

static void a_release_while_down_is_sent_later(void **state)
{
    struct watcher w[2] = {0};
    (void)state;
    lab.lease_ms = 6000;
    lab_nodes(2);
    settle(w, 2);
    redis_pause(redis);
    WAIT(all_stale(w, 2));
    release(1, "k", "m1");
    lab_run(100);
    redis_resume(redis);
    uint64_t back = lab_ms();
    WAIT(w[0].gones == 1);
    assert_true(lab_ms() - back < 3900); /* before it would have run out */
    stop(w, 2);
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
    settle(w, 1);
    redis_kill(redis);
    WAIT(all_stale(w, 1));
    uint64_t begin = lab_ms();
    store_release_all(lab.nodes[0], set_flag, &done);
    WAIT(done);
    assert_in_range(lab_ms() - begin, 900, 4000);
    stop(w, 1);
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
    stop(w, 1);
}

static void nobody_there(void **state)
{
    char url[64];
    (void)state;
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", free_port());
    lab_node_at(0, url);
    lab_node_at(1, "redis://no-such-host.invalid:1");
    struct listener l = {0};
    struct watcher w = {0};
    listener_start(&l, lab.nodes[0], "t", BUS_ECHO);
    watcher_start(&w, lab.nodes[0], "k");
    claim(0, "k", "a", "b");
    WAIT(lab.links_down[0] >= 3 && lab.links_down[1] >= 1);
    assert_int_equal(l.log.len, 0);
    assert_string_equal(watcher_log(&w), "S");
    assert_false(store_ready(lab.nodes[0]));
    listener_stop(&l);
    watcher_stop(&w);
    lab_node_at(2, "redis://no-such-host-either.invalid:1");
    lab_run(20); /* closed while it looks the name up */
    store_close(&lab.nodes[2]);
    lab_run(20);
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
    settle(w, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(redis_count(redis, "EVAL %s 3 %s %s:n %s %s", write, lab_key("r", "k"),
                                     lab.prefix, lab_key("w", "k"), members[i]),
                         2); /* who heard it */
        WAIT(strstr(watcher_log(&w[1]), i == 0 ? "+m0=old" : "+left=old") != NULL);
    }
    WAIT(watcher_has(&w[1], "m0", "v") && !watcher_has(&w[1], "left", "old"));
    assert_int_equal(redis_count(redis, "HLEN %s", lab_key("r", "k")), 3);
    stop(w, 2);
}

/* A full server refuses beats of all nodes alike: nobody dies of it. */
static void a_full_server_ends_no_lease(void **state)
{
    struct watcher w[2] = {0};
    (void)state;
    lab_nodes(2);
    settle(w, 2);
    freeReplyObject(redis_ask(redis, "CONFIG SET maxmemory 1"));
    WAIT(!store_ready(lab.nodes[0]) && !store_ready(lab.nodes[1]));
    lab_run(LEASE_MS * 2);
    claim(0, "k", "while full", "v");
    WAIT(w[0].stales > 0);
    freeReplyObject(redis_ask(redis, "CONFIG SET maxmemory 0"));
    WAIT(watcher_has(&w[1], "while full", "v") && all_ready(2));
    lab_run(LEASE_MS);
    assert_int_equal(w[0].gones + w[1].gones, 0);
    stop(w, 2);
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

#define FAULT_TEST(function) cmocka_unit_test_setup_teardown(function, start_servers, end_servers)

int test_faults(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(restarted_empty),
        FAULT_TEST(who_died_while_it_restarted_empty_goes_within_a_lease),
        FAULT_TEST(flushed),
        FAULT_TEST(paused_for_two_leases),
        FAULT_TEST(paused_for_a_moment),
        FAULT_TEST(gone_for_a_while),
        FAULT_TEST(what_is_queued_is_bounded),
        FAULT_TEST(replaced_while_tcp_stays_up),
        FAULT_TEST(connections_on_different_servers),
        FAULT_TEST(a_connection_falls_silent),
        FAULT_TEST(subscribers_killed),
        FAULT_TEST(scripts_forgotten),
        FAULT_TEST(wrong_password),
        FAULT_TEST(a_replica_is_refused),
        FAULT_TEST(a_question_whose_first_answer_ends_the_link),
        FAULT_TEST(a_lost_change_is_noticed),
        FAULT_TEST(a_release_while_down_is_sent_later),
        FAULT_TEST(release_all_gives_up_after_a_second),
        FAULT_TEST(a_refused_key_is_tried_again),
        FAULT_TEST(nobody_there),
        FAULT_TEST(a_dead_nodes_members_go_without_a_touch_of_their_keys),
        FAULT_TEST(a_late_write_is_put_right),
        FAULT_TEST(a_full_server_ends_no_lease),
        FAULT_TEST(keys_nobody_touches_vanish),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
