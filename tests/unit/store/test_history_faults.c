/* SPDX-License-Identifier: MIT */
/* What is promised of histories when Redis breaks. */
#include "proxy.h"
#include "reader.h"
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct redis_server_process *const redis = &lab.servers[0];

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
        reader_start(&stream->r[i], i);
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
    reader_start(&r, 0);
    WAIT(r.currents == 1);
    append(1, "first", 5, &outcome);
    WAIT(r.entries == 1);
    redis_pause(redis); /* node 0 gives its link up; node 1 goes on alone when Redis is back */
    WAIT(r.stales == 1);
    store_close(&lab.nodes[1]);
    redis_resume(redis);
    for (int i = 0; i < 20; i++) {
        freeReplyObject(redis_ask(redis, "PING"));
    }
    lab_node(1);
    append_numbers(1, 0, 20, 5, &outcome);
    WAIT(outcome.done == 21 && r.currents >= 2);
    WAIT(strstr(buf_text(&r.log), "n1.19") != NULL);
    assert_true(r.entries == 21 ? r.losts == 0 : r.losts > 0);
    assert_int_equal(r.entries + r.lost, 21);
    reader_stop(&r);
}

static void given_up_after_its_time(void **state)
{
    struct outcome outcome = {0};
    (void)state;
    lab_nodes(1);
    redis_kill(redis);
    WAIT(!store_ready(lab.nodes[0]));
    read_is_refused(0);
    assert_int_equal(append_for(0, "x", 5, 300, &outcome), 0);
    WAIT(outcome.failed == 1);
    append(0, "y", 5, &outcome);
    redis_start(redis, NULL, NULL);
    WAIT(outcome.done == 1);
    reads(0, 0, 5, "y");
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

/* A replica without the newest entries takes over, and gives their ids to others before all have come
 * over to it: a watch that comes late gets those too. */
static void taken_over_by_one_that_lags(void **state)
{
    struct reader late = {0};
    struct outcome outcome = {0};
    char url[64];
    (void)state;
    struct proxy *proxy = proxy_new(lab.base, redis->port);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", proxy_port(proxy));
    lab_node_at(0, url);
    lab_node(1);
    WAIT(store_ready(lab.nodes[0]) && store_ready(lab.nodes[1]));
    reader_start(&late, 0);
    WAIT(late.currents == 1);
    append_numbers(1, 0, 3, 100, &outcome);
    WAIT(outcome.done == 3);
    redisReply *keys = redis_ask(redis, "KEYS *:h:*");
    assert_int_equal(keys->elements, 1);
    redisReply *then = redis_ask(redis, "DUMP %s", keys->element[0]->str);
    append_numbers(1, 3, 5, 100, &outcome);
    WAIT(late.entries == 5);
    store_close(&lab.nodes[1]);
    proxy_switch(proxy, free_port());
    for (int i = 0; i < proxy_accepted(proxy); i++) {
        proxy_cut(proxy, i);
    }
    WAIT(late.stales == 1);
    freeReplyObject(redis_ask(redis, "RESTORE %s 0 %b REPLACE", keys->element[0]->str, then->str,
                              (size_t)then->len));
    lab_node(2);
    append_numbers(2, 0, 3, 100, &outcome);
    WAIT(outcome.done == 8);
    proxy_switch(proxy, redis->port);
    WAIT(late.currents == 2);
    assert_string_equal(buf_text(&late.log), "C n1.0 n1.1 n1.2 n1.3 n1.4 S n2.0 n2.1 n2.2 C");
    reader_stop(&late);
    store_close(&lab.nodes[0]);
    proxy_free(&proxy);
    freeReplyObject(then);
    freeReplyObject(keys);
}

/* After each rolling update: a node that is new here hears nothing of what was said before it, cut
 * links or not. */
static void what_was_said_before_is_not_new(void **state)
{
    struct reader late = {0};
    struct outcome outcome = {0};
    (void)state;
    lab_nodes(1);
    append_numbers(0, 0, 300, 1000, &outcome);
    WAIT(outcome.done == 300);
    lab_node(1);
    reader_start(&late, 1);
    WAIT(late.currents == 1);
    for (int i = 0; i < 3; i++) {
        freeReplyObject(redis_ask(redis, "CLIENT KILL TYPE pubsub"));
        WAIT(late.currents == i + 2);
    }
    append(0, "new", 1000, &outcome);
    WAIT(late.entries == 1);
    assert_non_null(strstr(buf_text(&late.log), "new"));
    assert_int_equal(late.losts, 0);
    reader_stop(&late);
}

/* A master, and a replica that does not follow any more and is promoted: one node is at the new
 * master already and says 300 things, while two stay with the old one and say more than it. Nothing
 * that the new master has is missed by watches that come to it, and nothing comes twice. */
static void forked(void **state)
{
    struct redis_server_process *replica = &lab.servers[1];
    struct reader r[2] = {{0}};
    struct outcome outcome = {0};
    char url[64];
    (void)state;
    redis_start(replica, NULL, NULL);
    freeReplyObject(redis_ask(replica, "REPLICAOF 127.0.0.1 %d", redis->port));
    struct proxy *proxy = proxy_new(lab.base, redis->port);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", proxy_port(proxy));
    for (int i = 0; i < 2; i++) {
        lab_node_at(i, url);
        WAIT(store_ready(lab.nodes[i]));
        reader_start(&r[i], i);
        WAIT(r[i].currents == 1);
    }
    append_numbers(0, 0, 10, 1000, &outcome);
    WAIT(outcome.done == 10 && r[1].entries == 10 && r[0].entries == 10);
    WAIT(redis_count(replica, "EXISTS %s", lab_key("h", "h")) == 1 &&
         redis_count(replica, "HLEN %s", lab_key("h", "h")) ==
             redis_count(redis, "HLEN %s", lab_key("h", "h")));
    freeReplyObject(redis_ask(replica, "REPLICAOF NO ONE"));
    append_numbers(0, 10, 360, 1000, &outcome);
    WAIT(outcome.done == 360 && r[1].entries == 360);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", replica->port);
    lab_node_at(2, url);
    append_numbers(2, 0, 300, 1000, &outcome);
    WAIT(outcome.done == 660);
    proxy_switch(proxy, replica->port);
    for (int i = 0; i < proxy_accepted(proxy); i++) {
        proxy_cut(proxy, i);
    }
    WAIT(r[0].entries >= 660 && r[1].entries >= 660);
    append(1, "end", 1000, &outcome);
    WAIT(strstr(buf_text(&r[0].log), "end") != NULL && strstr(buf_text(&r[1].log), "end") != NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(r[i].entries, 661);
        assert_int_equal(r[i].losts, 0);
        reader_stop(&r[i]);
    }
    for (int i = 0; i < 3; i++) {
        store_close(&lab.nodes[i]);
    }
    proxy_free(&proxy);
    redis_kill(replica);
}

#define FAULT(function)                                                                            \
    cmocka_unit_test_setup_teardown(function, lab_redis_setup, lab_redis_teardown)

int test_history_faults(void)
{
    const struct CMUnitTest history_faults[] = {
        FAULT(paused_in_a_stream),
        FAULT(restarted_empty_in_a_stream),
        FAULT(flushed_in_a_stream),
        FAULT(links_cut_in_a_stream),
        FAULT(given_up_after_its_time),
        FAULT(what_was_trimmed_meanwhile_is_told),
        FAULT(refused_and_then_taken),
        FAULT(taken_over_by_one_that_lags),
        FAULT(forked),
        FAULT(what_was_said_before_is_not_new),
    };
    return cmocka_run_group_tests(history_faults, NULL, NULL);
}
