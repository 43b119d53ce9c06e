/* SPDX-License-Identifier: MIT */
/* The contract of crowd.h and bus_attend, the same for every backend; then what a node does with
 * parcels that other nodes never sent so. */
#include "store/crowd.h"
#include "store/store_impl.h"
#include "tests.h"

#include <stdio.h>

static bool is_in(const struct roster_member *member, struct span *node)
{
    *node = member->name;
    return span_eq(member->value, SPAN("in"));
}

static struct crowd *open_crowd(int node, const char *topic)
{
    return crowd_open(lab.nodes[node], span_str(topic), is_in);
}

static int say(struct crowd *crowd, const char *text)
{
    return crowd_say(crowd, span_str(text));
}

/* The node hears the topic and claims its place in it, as a receiver or not. */
static void come(struct listener *l, struct watcher *w, int node, const char *value)
{
    int readies = l->readies;
    listener_attend(l, lab.nodes[node], "t");
    WAIT(l->readies > readies);
    int currents = w->currents;
    claim(node, "t", lab.nodes[node]->node, value);
    if (w->watch == NULL) {
        watcher_start(w, lab.nodes[node], "t");
    }
    WAIT(w->currents > currents && watcher_has(w, lab.nodes[node]->node, value));
}

static void end(struct listener *l, struct watcher *w, int count)
{
    for (int i = 0; i < count; i++) {
        listener_stop(&l[i]);
        watcher_stop(&w[i]);
    }
}

static void who_is_in_the_roster_hears(void **state)
{
    struct listener l[3] = {0};
    struct watcher w[3] = {0};
    (void)state;
    lab_nodes(3);
    come(&l[0], &w[0], 0, "in");
    come(&l[1], &w[1], 1, "in");
    come(&l[2], &w[2], 2, "out");
    struct crowd *crowd = open_crowd(0, "t");
    assert_int_equal(say(crowd, "1"), 0); /* before the crowd has a view */
    assert_int_equal(l[1].messages, 0);
    WAIT(l[1].messages == 1);
    assert_int_equal(say(crowd, "2"), 0);
    WAIT(l[1].messages == 2);
    lab_run(50);
    assert_string_equal(listener_log(&l[1]), "R '1' '2'");
    assert_int_equal(l[0].messages, 0);
    assert_int_equal(l[2].messages, 0);
    assert_int_equal(store_stats(lab.nodes[0])->published, 2);
    assert_int_equal(store_stats(lab.nodes[1])->received, 2);
    assert_int_equal(lab_topics(), 0);
    crowd_close(&crowd);
    assert_null(crowd);
    crowd_close(&crowd);
    end(l, w, 3);
}

static void what_one_turn_has_is_one_parcel(void **state)
{
    enum { MANY = 300 };
    struct listener l[2] = {0};
    struct watcher w[2] = {0};
    struct buf expected = {0};
    (void)state;
    lab_nodes(2);
    come(&l[1], &w[1], 1, "in");
    struct crowd *crowd = open_crowd(0, "t");
    say(crowd, "-");
    WAIT(l[1].messages == 1);
    uint64_t parcels = store_stats(lab.nodes[0])->parcels;
    buf_printf(&expected, "R '-'");
    for (int i = 0; i < MANY; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        buf_printf(&expected, " '%d'", i);
        assert_int_equal(say(crowd, text), 0);
    }
    WAIT(l[1].messages == 1 + MANY);
    assert_string_equal(listener_log(&l[1]), buf_text(&expected));
    assert_int_equal(store_stats(lab.nodes[0])->parcels - parcels, 1);
    assert_int_equal(store_stats(lab.nodes[1])->gaps, 0);
    buf_free(&expected);
    crowd_close(&crowd);
    end(&l[1], &w[1], 1);
}

/* Node 0 says something in the very moment in which node 1 is told that it is in, whatever node 0 has
 * heard by then. */
static void say_at_once(struct watcher *w, enum roster_event event,
                        const struct roster_member *member)
{
    (void)member;
    if (event == ROSTER_CURRENT && watcher_has(w, "node1", "in")) {
        assert_int_equal(say(w->arg, "now"), 0);
    }
}

static void who_knows_that_it_is_in_misses_nothing(void **state)
{
    enum { ROUNDS = 60 };
    struct listener l[2] = {0};
    struct watcher w[2] = {0};
    (void)state;
    lab_nodes(2);
    come(&l[0], &w[0], 0, "in");
    struct crowd *crowd = open_crowd(0, "t");
    say(crowd, "for nobody");
    lab_run(50);
    w[1].on_event = say_at_once;
    w[1].arg = crowd;
    for (int i = 1; i <= ROUNDS; i++) {
        come(&l[1], &w[1], 1, "in");
        say(crowd, "then");
        WAIT(l[1].messages == 2);
        assert_string_equal(listener_log(&l[1]), "R 'now' 'then'");
        listener_stop(&l[1]);
        l[1] = (struct listener){0};
        int currents = w[1].currents;
        release(1, "t", "node1");
        WAIT(w[1].currents > currents);
        for (int turns = i % 4; turns > 0; turns--) {
            lab_turn();
        }
    }
    WAIT(lab.nodes[0]->kept_bytes == 0);
    crowd_close(&crowd);
    listener_stop(&l[0]);
    watcher_stop(&w[0]);
    watcher_stop(&w[1]);
}

static void what_was_said_goes_on_without_its_crowd(void **state)
{
    struct listener l[2] = {0};
    struct watcher w[2] = {0};
    (void)state;
    lab_nodes(2);
    come(&l[1], &w[1], 1, "in");
    for (int i = 1; i <= 20; i++) {
        struct crowd *crowd = open_crowd(0, "t");
        assert_int_equal(say(crowd, "bye"), 0);
        crowd_close(&crowd);
        WAIT(l[1].messages == i);
    }
    WAIT(list_empty(&lab.nodes[0]->crowds));
    end(&l[1], &w[1], 1);
}

static void a_store_ends_with_what_it_keeps(void **state)
{
    struct listener l[2] = {0};
    struct watcher w[2] = {0};
    (void)state;
    lab_nodes(2);
    come(&l[1], &w[1], 1, "in");
    struct crowd *crowd = open_crowd(0, "t"), *closed = open_crowd(0, "u");
    say(closed, "1");
    crowd_close(&closed);
    say(crowd, "1");
    WAIT(l[1].messages == 1);
    say(crowd, "2");
    store_close(&lab.nodes[0]);
    lab_run(30);
    end(&l[1], &w[1], 1);
}

/* A crowd of many in many, and large payloads of any bytes. */
static void crowds_beside_one_another(void **state)
{
    enum { MANY = 200, LARGE = 300 * 1024 };
    static struct listener l[MANY];
    static struct watcher w[MANY];
    static struct crowd *crowds[MANY];
    char *large = mem_zalloc(LARGE + 1);
    char topic[16];
    (void)state;
    memset(l, 0, sizeof(l));
    memset(w, 0, sizeof(w));
    memset(large, '\n', LARGE);
    lab_nodes(2);
    for (int i = 0; i < MANY; i++) {
        snprintf(topic, sizeof(topic), "t%d", i);
        listener_attend(&l[i], lab.nodes[1], topic);
        claim(1, topic, "node1", "in");
        watcher_start(&w[i], lab.nodes[1], topic);
        crowds[i] = open_crowd(0, topic);
    }
    for (int i = 0; i < MANY; i++) {
        WAIT(l[i].readies == 1 && watcher_has(&w[i], "node1", "in"));
    }
    for (int i = 0; i < 3 * MANY; i++) {
        snprintf(topic, sizeof(topic), "%d", i);
        assert_int_equal(say(crowds[i % MANY], topic), 0);
    }
    assert_int_equal(say(crowds[0], large), 0);
    WAIT(l[0].bytes > LARGE);
    for (int i = 0; i < MANY; i++) {
        char expected[64];
        WAIT(l[i].messages == (i == 0 ? 4 : 3));
        snprintf(expected, sizeof(expected), "R '%d' '%d' '%d'", i, MANY + i, 2 * MANY + i);
        assert_int_equal(strncmp(listener_log(&l[i]), expected, strlen(expected)), 0);
        listener_stop(&l[i]);
        watcher_stop(&w[i]);
        crowd_close(&crowds[i]);
    }
    free(large);
}

/* ------------------------------------------------------------------------------------ on Redis */

static struct redis_server_process *const redis = &lab.servers[0];

/* Node 1 gets this as if node 0 had sent it. */
static void forge(const char *parcel)
{
    freeReplyObject(redis_ask(redis, "PUBLISH %s:{%s}:i:node1 %b", lab.prefix, partition_tag(0),
                              parcel, strlen(parcel)));
}

static void what_is_missing_is_seen(void **state)
{
    struct listener l = {0};
    struct watcher w = {0};
    (void)state;
    lab_nodes(2);
    come(&l, &w, 1, "in");
    forge("1 other 1 7\n1 1 0\nta");
    forge("1 other 1 8\n1 1 0\ntb1 1 0\ntc");
    WAIT(l.messages == 3);
    forge("1 other 1 10\n1 1 0\ntd");
    WAIT(l.messages == 4);
    forge("1 other 2 5 a later field\n1 1 0\nte"); /* another link */
    forge("1 other 1 11\n1 1 0\nt-");              /* over the one that was given up */
    forge("1 other 2 1\n1 1 0\ntf");               /* the way begins again */
    WAIT(l.messages == 6);
    assert_string_equal(listener_log(&l), "R 'a' 'b' 'c' G R 'd' 'e' 'f'");
    assert_int_equal(store_stats(lab.nodes[1])->gaps, 1);
    assert_int_equal(store_stats(lab.nodes[1])->late, 1);
    end(&l, &w, 1);
}

static void what_is_older_than_its_receiver_is_dropped(void **state)
{
    struct listener l = {0};
    struct watcher w = {0};
    (void)state;
    lab_nodes(2);
    come(&l, &w, 1, "in");
    forge("1 other 1 1\n1 1 99000000\nta1 1 1\ntb1 1 0\ntc");
    WAIT(l.messages == 2);
    assert_string_equal(listener_log(&l), "R 'b' 'c'");
    end(&l, &w, 1);
}

static void what_is_no_parcel_is_told(void **state)
{
    static const char *const wrong[] = {
        "1 other 1 1\n9 1 0\nta", "1 other 1 2\n1 9 0\nta", "1 other 1 3\nx",
        "1 other 1 4\n1 1\nta",   "9 other 1 5\n1 1 0\nta",
    };
    enum { COUNT = sizeof(wrong) / sizeof(wrong[0]) };
    struct listener l = {0};
    struct watcher w = {0};
    (void)state;
    lab_nodes(2);
    come(&l, &w, 1, "in");
    for (int i = 0; i < COUNT; i++) {
        forge(wrong[i]);
        WAIT((int)store_stats(lab.nodes[1])->unread[WIRE_MESSAGE] == i + 1);
    }
    assert_int_equal(l.messages, 0);
    end(&l, &w, 1);
}

/* Its lease ran out while it was away; no speaker of the crowd has named it meanwhile. */
static void who_was_taken_for_dead_hears_of_a_gap(void **state)
{
    struct listener l = {0};
    struct watcher w = {0};
    (void)state;
    lab_nodes(2);
    come(&l, &w, 1, "in");
    int gaps = l.gaps;
    freeReplyObject(redis_ask(redis, "HDEL %s:n nnode1", lab.prefix));
    WAIT(l.gaps > gaps && l.readies == l.gaps + 1);
    end(&l, &w, 1);
}

static void over_a_lost_link_nothing_is_said(void **state)
{
    struct listener l = {0};
    struct watcher w = {0};
    (void)state;
    lab_nodes(2);
    come(&l, &w, 1, "in");
    struct crowd *crowd = open_crowd(0, "t");
    say(crowd, "1");
    WAIT(l.messages == 1);
    redis_kill(redis);
    WAIT(lab.links_down[0] > 0 && lab.links_down[1] > 0);
    assert_int_equal(say(crowd, "2"), -1);
    assert_int_equal(lab.nodes[0]->kept_bytes, 0);
    redis_start(redis, NULL, NULL);
    WAIT(l.readies == 2 && watcher_has(&w, "node1", "in") && store_ready(lab.nodes[0]));
    lab_run(2 * LEASE_MS);
    assert_int_equal(say(crowd, "3"), 0);
    WAIT(l.messages == 2);
    assert_string_equal(listener_log(&l), "R '1' G R '3'");
    crowd_close(&crowd);
    end(&l, &w, 1);
}

int test_crowd(const char *name, CMFixtureFunction start)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(who_is_in_the_roster_hears),
        LAB_TEST(what_one_turn_has_is_one_parcel),
        LAB_TEST(who_knows_that_it_is_in_misses_nothing),
        LAB_TEST(what_was_said_goes_on_without_its_crowd),
        LAB_TEST(a_store_ends_with_what_it_keeps),
        LAB_TEST(crowds_beside_one_another),
    };
    char title[32];
    snprintf(title, sizeof(title), "crowd on %s", name);
    return _cmocka_run_group_tests(title, tests, sizeof(tests) / sizeof(tests[0]), start, lab_end);
}

int test_parcels(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(what_is_missing_is_seen),
        LAB_TEST(what_is_older_than_its_receiver_is_dropped),
        LAB_TEST(what_is_no_parcel_is_told),
        LAB_TEST(who_was_taken_for_dead_hears_of_a_gap),
        LAB_TEST(over_a_lost_link_nothing_is_said),
    };
    return cmocka_run_group_tests_name("parcels", tests, lab_redis, lab_end);
}
