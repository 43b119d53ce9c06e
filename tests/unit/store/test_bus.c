/* SPDX-License-Identifier: MIT */
/* The contract of bus.h, the same for every backend. */
#include "tests.h"

#include <stdio.h>

static void messages_arrive_in_order(void **state)
{
    struct listener l[2] = {0};
    enum { MANY = 5000 };
    struct buf expected = {0};
    (void)state;
    lab_nodes(2);
    listener_start(&l[0], lab.nodes[0], "t", BUS_NO_ECHO);
    listener_start(&l[1], lab.nodes[1], "t", BUS_ECHO);
    assert_int_equal(l[0].log.len + l[1].log.len, 0);
    WAIT(l[0].readies == 1 && l[1].readies == 1);
    buf_printf(&expected, "R");
    for (int i = 0; i < MANY; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        buf_printf(&expected, " '%d'", i);
        assert_int_equal(publish(1, "t", text), 0);
    }
    assert_int_equal(l[1].messages, 0);
    WAIT(l[0].messages == MANY && l[1].messages == MANY);
    assert_string_equal(listener_log(&l[0]), buf_text(&expected));
    assert_string_equal(listener_log(&l[1]), buf_text(&expected));
    assert_int_equal(store_stats(lab.nodes[1])->published, MANY);
    assert_int_equal(store_stats(lab.nodes[0])->received, MANY);
    buf_free(&expected);
    listener_stop(&l[0]);
    listener_stop(&l[1]);
}

static void echo_is_as_asked(void **state)
{
    struct listener with = {0}, without = {0}, other = {0};
    (void)state;
    lab_nodes(2);
    listener_start(&with, lab.nodes[0], "t", BUS_ECHO);
    listener_start(&without, lab.nodes[0], "t", BUS_NO_ECHO);
    listener_start(&other, lab.nodes[1], "t", BUS_NO_ECHO);
    WAIT(with.readies == 1 && without.readies == 1 && other.readies == 1);
    publish(0, "t", "mine");
    WAIT(with.messages == 1 && other.messages == 1);
    publish(1, "t", "yours");
    WAIT(with.messages == 2 && without.messages == 1);
    assert_string_equal(listener_log(&with), "R 'mine' 'yours'");
    assert_string_equal(listener_log(&without), "R 'yours'");
    assert_string_equal(listener_log(&other), "R 'mine'");
    listener_stop(&with);
    listener_stop(&without);
    listener_stop(&other);
}

static void only_what_is_subscribed_comes_in(void **state)
{
    struct listener l = {0}, end = {0};
    (void)state;
    lab_nodes(2);
    listener_start(&l, lab.nodes[0], "t1", BUS_NO_ECHO);
    listener_start(&end, lab.nodes[0], "t2", BUS_NO_ECHO);
    WAIT(l.readies == 1 && end.readies == 1);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(publish(1, "nobody", "x"), 0);
    }
    listener_stop(&l);
    lab_run(50);
    publish(1, "t1", "nobody any more");
    publish(1, "t2", "end");
    WAIT(end.messages == 1);
    assert_int_equal(l.messages, 0);
    if (lab_is_redis()) {
        lab_run(50);
        assert_int_equal(store_stats(lab.nodes[0])->received, 1);
        assert_int_equal(lab_topics(), 1);
    }
    listener_stop(&end);
}

static void coming_and_going_ends_right(void **state)
{
    struct listener l = {0}, other = {0};
    (void)state;
    lab_nodes(2);
    for (int i = 0; i < 100; i++) {
        listener_start(&l, lab.nodes[0], "t", BUS_NO_ECHO);
        for (int turns = i % 4; turns > 0; turns--) {
            lab_turn();
        }
        listener_stop(&l);
        for (int turns = i % 3; turns > 0; turns--) {
            lab_turn();
        }
    }
    l = (struct listener){0};
    listener_start(&l, lab.nodes[0], "t", BUS_NO_ECHO);
    listener_start(&other, lab.nodes[0], "t", BUS_NO_ECHO);
    bus_unsubscribe(&other.sub);
    WAIT(l.readies == 1);
    publish(1, "t", "x");
    WAIT(l.messages == 1);
    lab_run(50);
    assert_string_equal(listener_log(&l), "R 'x'");
    listener_stop(&l);
    listener_stop(&other);
    WAIT(lab_topics() == 0);
}

static void unsubscribe_all(struct listener *listener, enum bus_event event)
{
    struct listener *all = listener->arg;
    if (event == BUS_MESSAGE) {
        for (int i = 0; i < 3; i++) {
            bus_unsubscribe(&all[i].sub);
        }
    }
}

static void a_subscriber_may_unsubscribe_any_inside(void **state)
{
    struct listener l[3] = {0};
    (void)state;
    lab_nodes(2);
    for (int i = 0; i < 3; i++) {
        listener_start(&l[i], lab.nodes[0], "t", BUS_NO_ECHO);
    }
    l[1].on_event = unsubscribe_all;
    l[1].arg = l;
    WAIT(l[2].readies == 1);
    publish(1, "t", "1");
    publish(1, "t", "2");
    WAIT(l[1].messages == 1);
    lab_run(50);
    assert_int_equal(l[0].messages, 1);
    assert_int_equal(l[1].messages, 1);
    assert_int_equal(l[2].messages, 0);
    for (int i = 0; i < 3; i++) {
        listener_stop(&l[i]);
    }
}

struct copy {
    struct buf last;
    bool ready;
};

static void keep_copy(void *arg, enum bus_event event, struct span payload)
{
    struct copy *copy = arg;
    copy->ready = event == BUS_READY || copy->ready;
    if (event == BUS_MESSAGE) {
        buf_free(&copy->last);
        buf_append(&copy->last, payload);
        buf_append(&copy->last, SPAN("."));
    }
}

static void topics_and_payloads_are_any_bytes(void **state)
{
    static const char topic_bytes[] = "t\0 \r\n*?[\xff";
    static const char payload_bytes[] = " \0 \r\n$3\xfe";
    struct span topic = SPAN(topic_bytes), payload = SPAN(payload_bytes);
    struct copy copy = {0};
    char *large = mem_zalloc(3 << 20);
    (void)state;
    lab_nodes(2);
    struct bus_sub *sub = bus_subscribe(lab.nodes[0], topic, BUS_NO_ECHO, keep_copy, &copy);
    WAIT(copy.ready);
    assert_int_equal(bus_publish(lab.nodes[1], topic, payload), 0);
    WAIT(copy.last.len == payload.len + 1);
    assert_memory_equal(copy.last.ptr, payload.ptr, payload.len);
    assert_int_equal(bus_publish(lab.nodes[1], topic, span_of(NULL, 0)), 0);
    WAIT(copy.last.len == 1);
    large[77777] = 'x';
    assert_int_equal(bus_publish(lab.nodes[1], topic, span_of(large, 3 << 20)), 0);
    WAIT(copy.last.len == (3 << 20) + 1);
    assert_memory_equal(copy.last.ptr, large, 3 << 20);
    bus_unsubscribe(&sub);
    bus_unsubscribe(&sub);
    bus_unsubscribe(NULL);
    buf_free(&copy.last);
    free(large);
}

static void count_event(void *arg, enum bus_event event, struct span payload)
{
    (void)payload;
    ((int *)arg)[event]++;
}

static void thousands_of_topics(void **state)
{
    enum { MANY = 6000 };
    static struct bus_sub *subs[MANY];
    int counts[3] = {0};
    char topic[16];
    (void)state;
    lab_nodes(2);
    for (int i = 0; i < MANY; i++) {
        snprintf(topic, sizeof(topic), "t%d", i);
        subs[i] = bus_subscribe(lab.nodes[0], span_str(topic), BUS_NO_ECHO, count_event, counts);
    }
    WAIT(counts[BUS_READY] == MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(topic, sizeof(topic), "t%d", i);
        publish(1, topic, "x");
    }
    WAIT(counts[BUS_MESSAGE] == MANY);
    for (int i = 0; i < MANY; i++) {
        bus_unsubscribe(&subs[i]);
    }
    lab_run(20);
}

static void close_in_callback(struct listener *listener, enum bus_event event)
{
    if (event == BUS_MESSAGE) {
        listener->sub = NULL;
        store_close(&lab.nodes[0]);
    }
}

static void a_store_may_be_closed_by_a_message(void **state)
{
    struct listener l = {.on_event = close_in_callback};
    (void)state;
    lab_nodes(2);
    listener_start(&l, lab.nodes[0], "t", BUS_NO_ECHO);
    WAIT(l.readies == 1);
    publish(0, "t", "still on its way");
    publish(1, "t", "1");
    publish(1, "t", "2");
    WAIT(lab.nodes[0] == NULL);
    lab_run(50);
    assert_int_equal(l.messages, 1);
    buf_free(&l.log);
}

int test_bus(const char *name, CMFixtureFunction start)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(messages_arrive_in_order),
        LAB_TEST(echo_is_as_asked),
        LAB_TEST(only_what_is_subscribed_comes_in),
        LAB_TEST(coming_and_going_ends_right),
        LAB_TEST(a_subscriber_may_unsubscribe_any_inside),
        LAB_TEST(topics_and_payloads_are_any_bytes),
        LAB_TEST(thousands_of_topics),
        LAB_TEST(a_store_may_be_closed_by_a_message),
    };
    char title[32];
    snprintf(title, sizeof(title), "bus on %s", name);
    return _cmocka_run_group_tests(title, tests, sizeof(tests) / sizeof(tests[0]), start, lab_end);
}
