/* SPDX-License-Identifier: MIT */
/* Slots that move, servers that die, while rosters, topics, histories and the stream are at work. */
#include "store/history/history.h"
#include "store/lookup.h"
#include "store/partition.h"
#include "store/store_impl.h"
#include "tests.h"

#include <stdio.h>
#include <string.h>

static void ask(const struct redis_server_process *server, const char *command)
{
    redisReply *reply = redis_ask(server, command);
    if (reply->type == REDIS_REPLY_ERROR) {
        fail_msg("%s: %s", command, reply->str);
    }
    freeReplyObject(reply);
}

static void id_of(const struct redis_server_process *server, char id[41])
{
    redisReply *reply = redis_ask(server, "CLUSTER MYID");
    snprintf(id, 41, "%s", reply->str);
    freeReplyObject(reply);
}

static struct redis_server_process *other_master(const struct redis_server_process *one)
{
    for (int i = 0; i < lab.server_count; i++) {
        if (&lab.servers[i] != one && lab.servers[i].pid != 0 && redis_is_master(&lab.servers[i])) {
            return &lab.servers[i];
        }
    }
    return NULL;
}

struct transfer {
    struct redis_server_process *from, *to;
    unsigned slot;
};

static void set_slot(const struct redis_server_process *at, unsigned slot, const char *verb,
                     const struct redis_server_process *whose)
{
    char id[41], command[128];
    id_of(whose, id);
    snprintf(command, sizeof(command), "CLUSTER SETSLOT %u %s %s", slot, verb, id);
    ask(at, command);
}

/* The slot of the name's partition begins to move to another master. */
static struct transfer transfer_begin(const char *name)
{
    struct transfer move = {lab_master_of(name), NULL,
                            partition_slot(partition_of(span_str(name)))};
    move.to = other_master(move.from);
    set_slot(move.to, move.slot, "IMPORTING", move.from);
    set_slot(move.from, move.slot, "MIGRATING", move.to);
    return move;
}

static void transfer_keys(const struct transfer *move)
{
    redisReply *keys = redis_ask(move->from, "CLUSTER GETKEYSINSLOT %u 1000", move->slot);
    for (size_t i = 0; i < keys->elements; i++) {
        redisReply *reply = redis_ask(move->from, "MIGRATE 127.0.0.1 %d %b 0 5000", move->to->port,
                                      keys->element[i]->str, keys->element[i]->len);
        assert_string_equal(reply->str, "OK");
        freeReplyObject(reply);
    }
    freeReplyObject(keys);
}

static void transfer_end(const struct transfer *move)
{
    set_slot(move->to, move->slot, "NODE", move->to);
    set_slot(move->from, move->slot, "NODE", move->to);
}

static void transfer(const char *name)
{
    struct transfer move = transfer_begin(name);
    transfer_keys(&move);
    transfer_end(&move);
}

static void a_roster_goes_with_its_slot(void **state)
{
    struct watcher w = {0};
    (void)state;
    lab_nodes(2);
    watcher_start(&w, lab.nodes[1], "k");
    claim(0, "k", "a", "1");
    WAIT(watcher_has(&w, "a", "1"));
    watcher_mark(&w);
    transfer("k");
    claim(0, "k", "b", "2");
    WAIT(watcher_has(&w, "b", "2"));
    WAIT(w.currents > 0);
    release(0, "k", "a");
    WAIT(!watcher_has(&w, "a", "1"));
    lab_run(LEASE_MS * 2);
    assert_true(watcher_has(&w, "b", "2"));
    assert_int_equal(w.gones, 1);
    watcher_stop(&w);
}

/* Between two servers, too, where the key has left and its slot has not. */
static void a_key_on_its_way_is_reached(void **state)
{
    struct watcher w = {0};
    (void)state;
    lab_nodes(2);
    watcher_start(&w, lab.nodes[1], "way");
    claim(0, "way", "a", "1");
    WAIT(watcher_has(&w, "a", "1"));
    struct transfer move = transfer_begin("way");
    transfer_keys(&move);
    claim(1, "way", "b", "2");
    WAIT(watcher_has(&w, "b", "2"));
    claim(0, "way", "c", "3");
    lab_run(200);
    transfer_end(&move);
    WAIT(watcher_has(&w, "c", "3"));
    lab_run(LEASE_MS * 2);
    assert_int_equal(w.gones, 0);
    watcher_stop(&w);
}

static void a_topic_hears_of_a_gap_and_goes_on(void **state)
{
    struct listener l = {0}, other = {0};
    (void)state;
    lab_nodes(2);
    listener_start(&l, lab.nodes[1], "t", BUS_NO_ECHO);
    const char *elsewhere = NULL;
    static const char *const names[] = {"u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"};
    for (size_t i = 0; elsewhere == NULL; i++) {
        elsewhere = lab_master_of(names[i]) == lab_master_of("t") &&
                            partition_of(span_str(names[i])) != partition_of(SPAN("t"))
                        ? names[i]
                        : NULL;
    }
    listener_start(&other, lab.nodes[1], elsewhere, BUS_NO_ECHO);
    WAIT(l.readies == 1 && other.readies == 1);
    publish(0, "t", "before");
    publish(0, elsewhere, "before");
    WAIT(l.messages == 1 && other.messages == 1);
    transfer("t");
    WAIT(l.gaps == 1 && l.readies == 2);
    while (publish(0, "t", "after") != 0 || l.messages < 2) {
        lab_run(50);
    }
    publish(0, elsewhere, "after");
    WAIT(other.messages == 2);
    assert_string_equal(listener_log(&other), "R 'before' 'after'");
    listener_stop(&l);
    listener_stop(&other);
}

static void on_note(void *arg, enum history_event event, const struct history_entry *entry)
{
    struct buf *log = arg;
    if (event == HISTORY_ENTRY) {
        buf_printf(log, "%.*s ", SPAN_ARG(entry->value));
    }
}

static void say(const char *text)
{
    const struct history_append append = {
        .key = SPAN("h"), .value = span_str(text), .most = 100, .wait_ms = 10000};
    assert_int_equal(history_append(lab.nodes[0], &append), 0);
}

/* Nothing is skipped, doubled or told again, whenever it is said. */
static void a_history_goes_with_its_slot(void **state)
{
    struct buf log = {0}, expected = {0};
    (void)state;
    lab_nodes(2);
    struct history_watch *watch = history_watch(lab.nodes[1], SPAN("h"), on_note, &log);
    lab_run(200);
    int said = 0;
    for (int round = 0; round < 4; round++) {
        struct transfer move = transfer_begin("h");
        for (int step = 0; step < 3; step++) {
            char text[16];
            snprintf(text, sizeof(text), "%d", said++);
            buf_printf(&expected, "%s ", text);
            say(text);
            lab_run(20);
            if (step == 1) {
                transfer_keys(&move);
            }
        }
        transfer_end(&move);
        lab_run(50);
    }
    WAIT(log.len >= expected.len);
    lab_run(500);
    assert_string_equal(buf_text(&log), buf_text(&expected));
    history_unwatch(&watch);
    buf_free(&log);
    buf_free(&expected);
}

static void on_value(void *arg, uint64_t tag, enum lookup_result result, struct span value)
{
    struct buf *log = arg;
    (void)tag;
    buf_printf(log, "%d%.*s ", (int)result, SPAN_ARG(value));
}

/* A node that has not heard of the move is told by the server, and asks again. */
static void a_value_is_found_where_it_is(void **state)
{
    struct buf log = {0}, expected = {0};
    struct lookup_then then = {on_value, &log, 0};
    (void)state;
    lab_nodes(1);
    assert_int_equal(lookup_add(lab.nodes[0], SPAN("v"), SPAN("x"), 60000, &then), 0);
    WAIT(log.len > 0);
    log.len = 0;
    for (int i = 0; i < 4; i++) {
        struct transfer move = transfer_begin("v");
        transfer_keys(&move);
        assert_int_equal(lookup_get(lab.nodes[0], SPAN("v"), &then), 0);
        lab_run(200);
        transfer_end(&move);
        assert_int_equal(lookup_get(lab.nodes[0], SPAN("v"), &then), 0);
        buf_printf(&expected, "%dx %dx ", LOOKUP_DONE, LOOKUP_DONE);
        WAIT(log.len == expected.len);
        WAIT(store_ready(lab.nodes[0]));
    }
    assert_string_equal(buf_text(&log), buf_text(&expected));
    buf_free(&log);
    buf_free(&expected);
}

/* A master dies: its partitions are away until its replica has them, the others are not. */
static void a_dead_master_takes_nobody_with_it(void **state)
{
    struct watcher w = {0}, other = {0};
    const char *elsewhere = NULL;
    static const char *const names[] = {"o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8"};
    (void)state;
    lab_nodes(2);
    struct redis_server_process *dead = lab_master_of("d");
    for (size_t i = 0; elsewhere == NULL; i++) {
        elsewhere = lab_master_of(names[i]) != dead ? names[i] : NULL;
    }
    watcher_start(&w, lab.nodes[1], "d");
    watcher_start(&other, lab.nodes[1], elsewhere);
    claim(0, "d", "a", "1");
    claim(0, elsewhere, "a", "1");
    WAIT(watcher_has(&w, "a", "1") && watcher_has(&other, "a", "1"));
    watcher_mark(&w);
    watcher_mark(&other);
    redis_kill(dead);
    WAIT(w.stales > 0);
    assert_in_range(store_partitions_away(lab.nodes[1]), 60, 110);
    assert_true(store_works(lab.nodes[1]) && !store_ready(lab.nodes[1]));
    assert_int_equal(other.stales, 0);
    WAIT(store_ready(lab.nodes[0]) && store_ready(lab.nodes[1]));
    claim(0, "d", "b", "2");
    WAIT(watcher_has(&w, "b", "2"));
    lab_run(LEASE_MS * 2);
    assert_int_equal(w.gones + other.gones, 0);
    assert_true(watcher_has(&w, "a", "1"));
    watcher_stop(&w);
    watcher_stop(&other);
    redis_start(dead, NULL, NULL);
    WAIT(redis_cluster_works(lab.servers, lab.server_count) && !redis_is_master(dead));
}

/* What a URL of a single server names is one of a cluster. */
static void a_single_server_of_a_cluster_is_refused(void **state)
{
    char url[64];
    (void)state;
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", lab.servers[0].port);
    lab_node_at(0, url);
    claim(0, "a", "m", "1");
    claim(0, "b", "m", "1");
    claim(0, "c", "m", "1");
    WAIT(strstr(lab.last_text, "redis+cluster://") != NULL);
}

int test_cluster(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(a_roster_goes_with_its_slot),
        LAB_TEST(a_key_on_its_way_is_reached),
        LAB_TEST(a_topic_hears_of_a_gap_and_goes_on),
        LAB_TEST(a_history_goes_with_its_slot),
        LAB_TEST(a_value_is_found_where_it_is),
        LAB_TEST(a_single_server_of_a_cluster_is_refused),
        LAB_TEST(a_dead_master_takes_nobody_with_it),
    };
    return cmocka_run_group_tests_name("cluster", tests, lab_cluster, lab_end);
}
