/* SPDX-License-Identifier: MIT */
/* Stores that speak different forms of the wire, at one Redis. */
#include "store/lookup.h"
#include "store/store_impl.h"
#include "tests.h"

#include <string.h>

static struct store *speaker(int index, unsigned from, unsigned to)
{
    lab.wire = (struct wire_range){from, to};
    struct store *store = lab_node(index);
    lab.wire = (struct wire_range){0, 0};
    return store;
}

static void who_speaks_another_form_is_not_let_in(void **state)
{
    (void)state;
    speaker(0, 1, 2);
    WAIT(store_ready(lab.nodes[0]));
    speaker(1, 1, 2);
    WAIT(store_ready(lab.nodes[1]));
    struct store *late = speaker(2, 3, 3);
    WAIT(store_refusal(late) != NULL);
    assert_string_equal(store_refusal(late), "the fleet speaks 1 to 2, this node 3");
    assert_non_null(strstr(lab.last_text, "the fleet speaks 1 to 2, this node 3"));
    assert_true(store_stats(late)->unread[WIRE_NODE] > 0);
    lab_run(LEASE_MS);
    assert_false(store_ready(late));
    assert_true(store_ready(lab.nodes[0]) && store_ready(lab.nodes[1]));
    assert_null(store_refusal(lab.nodes[0]));
    store_close(&lab.nodes[0]); /* as after a kill: their lease runs out */
    store_close(&lab.nodes[1]);
    WAIT(store_ready(late));
    assert_null(store_refusal(late));
}

static void release_done(void *arg)
{
    *(bool *)arg = true;
}

static void who_leaves_in_order_makes_room_at_once(void **state)
{
    bool done = false;
    (void)state;
    lab.lease_ms = 60 * LEASE_MS;
    speaker(0, 1, 1);
    WAIT(store_ready(lab.nodes[0]));
    store_release_all(lab.nodes[0], release_done, &done);
    WAIT(done);
    lab_run(50);
    store_close(&lab.nodes[0]);
    speaker(1, 2, 2);
    WAIT(store_ready(lab.nodes[1]));
}

static void a_new_form_is_written_once_all_read_it(void **state)
{
    struct listener heard = {0};
    (void)state;
    speaker(0, 1, 2);
    WAIT(store_ready(lab.nodes[0]));
    WAIT(store_wire_now(lab.nodes[0]) == 2);
    struct store *old = speaker(1, 1, 1);
    WAIT(store_ready(old));
    assert_int_equal(store_wire_now(lab.nodes[0]), 1);
    listener_start(&heard, old, "topic", BUS_NO_ECHO);
    WAIT(heard.readies == 1);
    publish(0, "topic", "said in the old form");
    WAIT(heard.messages == 1);
    assert_int_equal(store_stats(old)->unread[WIRE_MESSAGE], 0);
    listener_stop(&heard);
    store_close(&lab.nodes[1]);
    WAIT(store_wire_now(lab.nodes[0]) == 2);
}

static void a_message_in_another_form_is_counted_and_told(void **state)
{
    struct listener heard = {0};
    struct redis_server_process *redis = &lab.servers[0];
    (void)state;
    lab_nodes(2);
    listener_start(&heard, lab.nodes[0], "topic", BUS_NO_ECHO);
    WAIT(heard.readies == 1);
    redisReply *channels = redis_ask(redis, "PUBSUB CHANNELS %s:*topic", lab.prefix);
    assert_int_equal(channels->elements, 1);
    freeReplyObject(
        redis_ask(redis, "PUBLISH %s %s", channels->element[0]->str, "2 node 7\nof the future"));
    WAIT(store_stats(lab.nodes[0])->unread[WIRE_MESSAGE] == 1);
    assert_non_null(strstr(lab.last_trouble, "in a form that this node does not read"));
    freeReplyObject(
        redis_ask(redis, "PUBLISH %s %s", channels->element[0]->str, "node-of-0.1.0 7 said"));
    publish(1, "topic", "known");
    WAIT(heard.messages == 1);
    assert_string_equal(listener_log(&heard), "R 'known'");
    freeReplyObject(channels);
    listener_stop(&heard);
}

static void fields_of_a_later_version_are_passed_over(void **state)
{
    struct listener heard = {0};
    (void)state;
    lab_nodes(1);
    listener_start(&heard, lab.nodes[0], "topic", BUS_NO_ECHO);
    WAIT(heard.readies == 1);
    redisReply *channels = redis_ask(&lab.servers[0], "PUBSUB CHANNELS %s:*topic", lab.prefix);
    freeReplyObject(redis_ask(&lab.servers[0], "PUBLISH %s %b", channels->element[0]->str,
                              "1 far 7 field=8\nsaid", (size_t)20));
    WAIT(heard.messages == 1);
    assert_string_equal(listener_log(&heard), "R 'said'");
    freeReplyObject(channels);
    listener_stop(&heard);
}

/* The field of a key's hash that has its head begins with that form from now on. */
static void put_form(const char *pattern, const char *field, const char *form)
{
    struct redis_server_process *redis = &lab.servers[0];
    redisReply *keys = redis_ask(redis, "KEYS %s:%s", lab.prefix, pattern);
    assert_int_equal(keys->elements, 1);
    redisReply *head = redis_ask(redis, "HGET %s %s", keys->element[0]->str, field);
    assert_int_equal(head->type, REDIS_REPLY_STRING);
    assert_true(head->str[0] == '1' || head->str[0] == '2');
    head->str[0] = form[0];
    freeReplyObject(redis_ask(redis, "HSET %s %s %b", keys->element[0]->str, field, head->str,
                              (size_t)head->len));
    freeReplyObject(head);
    freeReplyObject(keys);
}

static void a_roster_in_another_form_is_refused(void **state)
{
    struct watcher watcher = {0};
    (void)state;
    lab_nodes(1);
    watcher_start(&watcher, lab.nodes[0], "k");
    claim(0, "k", "a", "1");
    WAIT(watcher_has(&watcher, "a", "1"));
    put_form("*r:k", "i", "2");
    claim(0, "k", "b", "2"); /* a key is looked at when it is touched */
    WAIT(store_stats(lab.nodes[0])->unread[WIRE_KEY] > 0);
    assert_non_null(strstr(lab.last_trouble, "is of form 2, this node reads 1"));
    assert_false(store_ready(lab.nodes[0]));
    put_form("*r:k", "i", "1");
    WAIT(watcher_has(&watcher, "b", "2"));
    WAIT(store_ready(lab.nodes[0]));
    watcher_stop(&watcher);
}

static void on_value(void *arg, uint64_t tag, enum lookup_result result, struct span value)
{
    (void)tag, (void)value;
    *(int *)arg = (int)result;
}

static void a_value_in_another_form_is_refused(void **state)
{
    int got = -1, swapped = -1;
    (void)state;
    lab_nodes(1);
    struct lookup_then then = {on_value, &got, 0}, swap = {on_value, &swapped, 0};
    assert_int_equal(lookup_put(lab.nodes[0], SPAN("k"), SPAN("v"), 60000, &then), 0);
    WAIT(got == LOOKUP_DONE);
    redisReply *keys = redis_ask(&lab.servers[0], "KEYS %s:*l:k", lab.prefix);
    freeReplyObject(
        redis_ask(&lab.servers[0], "SET %s %b", keys->element[0]->str, "2 v", (size_t)3));
    freeReplyObject(keys);
    assert_int_equal(lookup_get(lab.nodes[0], SPAN("k"), &then), 0);
    assert_int_equal(lookup_swap(lab.nodes[0], SPAN("k"), SPAN("v"), SPAN("w"), 60000, &swap), 0);
    WAIT(got == LOOKUP_LOST && swapped == LOOKUP_LOST);
    assert_int_equal(store_stats(lab.nodes[0])->unread[WIRE_KEY], 2);
}

int test_wire(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(who_speaks_another_form_is_not_let_in),
        LAB_TEST(who_leaves_in_order_makes_room_at_once),
        LAB_TEST(a_new_form_is_written_once_all_read_it),
        LAB_TEST(a_message_in_another_form_is_counted_and_told),
        LAB_TEST(fields_of_a_later_version_are_passed_over),
        LAB_TEST(a_roster_in_another_form_is_refused),
        LAB_TEST(a_value_in_another_form_is_refused),
    };
    return cmocka_run_group_tests_name("wire", tests, lab_redis, lab_end);
}
