/* SPDX-License-Identifier: MIT */
/* What is promised when a connection to Redis breaks, falls silent, or ends at a server that is of no use. */
#include "faults.h"
#include "proxy.h"
#include "store/stream.h"
#include "store/stream_read.h"
#include "tests.h"

#include <stdio.h>
#include <string.h>

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
    views_settle(w, 2);
    listener_start(&l, lab.nodes[1], "t", BUS_NO_ECHO);
    WAIT(l.readies == 1);
    proxy_switch(proxy, other->port);
    for (int i = 0; i < 4; i += 2) { /* each link connects its command connection first */
        proxy_retarget(proxy, i, other->port);
    }
    WAIT(views_stale(w, 2));
    assert_non_null(strstr(lab.last_text, "does not come back"));
    WAIT(views_current(w, 2) && l.readies == 2);
    assert_true(redis_count(other, "HLEN %s", lab_key("r", "k")) == 3);
    lab_run(LEASE_MS * 3 / 2);
    views_never_flickered(w, 2);
    publish(0, "t", "x");
    WAIT(l.messages == 1);
    listener_stop(&l);
    views_stop(w, 2);
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
    views_settle(w, 1);
    for (int i = 0; i < 2; i++) {
        int accepted = proxy_accepted(proxy);
        proxy_mute(proxy, accepted - 1 - i);
        WAIT(w[0].stales == 1);
        WAIT(w[0].currents == 1 && proxy_accepted(proxy) > accepted);
        views_never_flickered(w, 1);
        watcher_mark(&w[0]);
    }
    proxy_cut(proxy, proxy_accepted(proxy) - 1);
    WAIT(w[0].stales == 1 && w[0].currents == 1);
    views_stop(w, 1);
    store_close(&lab.nodes[0]);
    proxy_free(&proxy);
}

static void subscribers_killed(void **state)
{
    struct watcher w[2] = {0};
    struct listener l = {0};
    (void)state;
    lab_nodes(2);
    views_settle(w, 2);
    listener_start(&l, lab.nodes[0], "t", BUS_NO_ECHO);
    WAIT(l.readies == 1);
    for (int i = 1; i <= 3; i++) {
        freeReplyObject(
            redis_ask(redis, i < 3 ? "CLIENT KILL TYPE pubsub" : "CLIENT KILL TYPE normal"));
        WAIT(l.gaps == i && l.readies == i + 1 && views_stale(w, 2) && views_current(w, 2));
        views_never_flickered(w, 2);
        watcher_mark(&w[0]);
        watcher_mark(&w[1]);
    }
    publish(1, "t", "x");
    WAIT(l.messages == 1);
    listener_stop(&l);
    views_stop(w, 2);
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
    views_settle(w, 1);
    freeReplyObject(redis_ask(other, "REPLICAOF 127.0.0.1 %d", redis->port));
    WAIT(w[0].stales == 1 && !store_ready(lab.nodes[0]));
    assert_non_null(strstr(lab.last_text, "READONLY"));
    freeReplyObject(redis_ask(other, "REPLICAOF NO ONE"));
    WAIT(w[0].currents == 1);
    views_never_flickered(w, 1);
    views_stop(w, 1);
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
    assert_int_equal(stream_read(lab.nodes[0], 0, &from, 1, 10, on_entries, &failed), 0);
    WAIT(failed == 1);
    WAIT(strstr(lab.last_text, "MASTERDOWN") != NULL);
    freeReplyObject(redis_ask(redis, "REPLICAOF NO ONE"));
    WAIT(store_ready(lab.nodes[0]));
    assert_int_equal(failed, 1);
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

int test_link_faults(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(replaced_while_tcp_stays_up),
        FAULT_TEST(connections_on_different_servers),
        FAULT_TEST(a_connection_falls_silent),
        FAULT_TEST(subscribers_killed),
        FAULT_TEST(wrong_password),
        FAULT_TEST(a_replica_is_refused),
        FAULT_TEST(a_question_whose_first_answer_ends_the_link),
        FAULT_TEST(nobody_there),
    };
    return cmocka_run_group_tests_name("link_faults", tests, NULL, NULL);
}
