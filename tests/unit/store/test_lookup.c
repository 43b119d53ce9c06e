/* SPDX-License-Identifier: MIT */
/* The contract of lookup.h, the same for every backend, and what becomes of it when Redis goes. */
#include "tests.h"

#include "store/lookup.h"

#include <stdio.h>
#include <string.h>

enum { LONG_MS = 60000 };

/* The answer to one call; `answers` counts. */
struct ear {
    int answers;
    enum lookup_result result;
    uint64_t tag;
    struct buf value;
};

static void on_answer(void *arg, uint64_t tag, enum lookup_result result, struct span value)
{
    struct ear *ear = arg;
    ear->answers++;
    ear->result = result;
    ear->tag = tag;
    ear->value.len = 0;
    buf_append(&ear->value, value);
}

static struct ear ear;
static const struct lookup_then then = {on_answer, &ear, 7};

/* Waits for the answer of a call that was sent, and checks it. */
static void answered(int sent, enum lookup_result result, const char *value)
{
    assert_int_equal(sent, 0);
    assert_int_equal(ear.answers, 0); /* never inside the call */
    WAIT(ear.answers == 1);
    assert_int_equal(ear.result, result);
    assert_int_equal(ear.tag, 7);
    assert_string_equal(buf_text(&ear.value), value);
    buf_free(&ear.value);
    ear = (struct ear){0};
}

static struct store *node(int index)
{
    return lab.nodes[index];
}

static void put_get_delete(void **state)
{
    struct span key = SPAN("k");
    (void)state;
    lab_nodes(2);
    answered(lookup_get(node(0), key, &then), LOOKUP_ABSENT, "");
    answered(lookup_delete(node(0), key, &then), LOOKUP_ABSENT, "");
    answered(lookup_put(node(0), key, SPAN("one"), LONG_MS, &then), LOOKUP_DONE, "");
    answered(lookup_get(node(1), key, &then), LOOKUP_DONE, "one");
    answered(lookup_put(node(1), key, SPAN("two"), LONG_MS, &then), LOOKUP_DONE, "one");
    answered(lookup_touch(node(0), key, LONG_MS, &then), LOOKUP_DONE, "two");
    answered(lookup_delete(node(1), key, &then), LOOKUP_DONE, "");
    answered(lookup_get(node(0), key, &then), LOOKUP_ABSENT, "");
    answered(lookup_touch(node(0), key, LONG_MS, &then), LOOKUP_ABSENT, "");
}

static void add_takes_once(void **state)
{
    (void)state;
    lab_nodes(2);
    answered(lookup_add(node(0), SPAN("k"), SPAN("mine"), LONG_MS, &then), LOOKUP_DONE, "");
    answered(lookup_add(node(1), SPAN("k"), SPAN("yours"), LONG_MS, &then), LOOKUP_TAKEN, "");
    answered(lookup_get(node(1), SPAN("k"), &then), LOOKUP_DONE, "mine");
}

static void swap_changes_what_it_knows(void **state)
{
    struct span key = SPAN("k");
    (void)state;
    lab_nodes(1);
    answered(lookup_swap(node(0), key, SPAN("a"), SPAN("b"), LONG_MS, &then), LOOKUP_ABSENT, "");
    answered(lookup_put(node(0), key, SPAN("a"), LONG_MS, &then), LOOKUP_DONE, "");
    answered(lookup_swap(node(0), key, SPAN("x"), SPAN("b"), LONG_MS, &then), LOOKUP_TAKEN, "a");
    answered(lookup_swap(node(0), key, SPAN("a"), SPAN("b"), LONG_MS, &then), LOOKUP_DONE, "");
    answered(lookup_swap(node(0), key, SPAN("b"), SPAN("c"), 0, &then), LOOKUP_DONE, "");
    answered(lookup_get(node(0), key, &then), LOOKUP_DONE, "c");
    answered(lookup_swap(node(0), key, SPAN("c"), SPAN(""), 0, &then), LOOKUP_DONE, "");
    answered(lookup_get(node(0), key, &then), LOOKUP_DONE, "");
}

struct tally {
    int done, taken, absent, lost;
};

static void count(void *arg, uint64_t tag, enum lookup_result result, struct span value)
{
    struct tally *tally = arg;
    (void)tag, (void)value;
    tally->done += result == LOOKUP_DONE;
    tally->taken += result == LOOKUP_TAKEN;
    tally->absent += result == LOOKUP_ABSENT;
    tally->lost += result == LOOKUP_LOST;
}

static int total(const struct tally *tally)
{
    return tally->done + tally->taken + tally->absent + tally->lost;
}

static void of_many_that_add_one_wins(void **state)
{
    enum { KEYS = 200, TRIES = 3 };
    struct tally tally = {0};
    struct lookup_then counted = {count, &tally, 0};
    (void)state;
    lab_nodes(TRIES);
    for (int i = 0; i < KEYS * TRIES; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i / TRIES);
        assert_int_equal(lookup_add(node(i % TRIES), span_str(key), SPAN("v"), LONG_MS, &counted),
                         0);
    }
    WAIT(total(&tally) == KEYS * TRIES);
    assert_int_equal(tally.done, KEYS);
    assert_int_equal(tally.taken, KEYS * (TRIES - 1));
}

static void keys_and_values_are_any_bytes(void **state)
{
    static const char key_bytes[] = "k\0 \r\n*?{x}\xff", value_bytes[] = "\0\r\n$3 +\xfe";
    struct span key = SPAN(key_bytes), value = SPAN(value_bytes);
    (void)state;
    lab_nodes(1);
    assert_int_equal(lookup_put(node(0), key, value, LONG_MS, NULL), 0);
    assert_int_equal(lookup_get(node(0), key, &then), 0);
    WAIT(ear.answers == 1);
    assert_true(span_eq(buf_span(&ear.value), value));
    ear.answers = 0;
    answered(lookup_swap(node(0), key, value, SPAN("+"), 0, &then), LOOKUP_DONE, "");
    answered(lookup_get(node(0), key, &then), LOOKUP_DONE, "+");
}

static void answers_of_a_key_come_in_order(void **state)
{
    enum { MANY = 3000 };
    char last[16] = "";
    (void)state;
    lab_nodes(1);
    for (int i = 0; i < MANY; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(lookup_put(node(0), SPAN("k"), span_str(text), LONG_MS, &then), 0);
    }
    WAIT(ear.answers == MANY);
    snprintf(last, sizeof(last), "%d", MANY - 2);
    assert_string_equal(buf_text(&ear.value), last);
    ear.answers = 0;
    snprintf(last, sizeof(last), "%d", MANY - 1);
    answered(lookup_get(node(0), SPAN("k"), &then), LOOKUP_DONE, last);
}

/* One look at a key, without waiting for anything else. */
static enum lookup_result look(struct span key)
{
    ear.answers = 0;
    assert_int_equal(lookup_get(node(0), key, &then), 0);
    WAIT(ear.answers == 1);
    ear.answers = 0;
    return ear.result;
}

static void time_takes_keys_away(void **state)
{
    enum { LIFE_MS = 400, MANY = 500 };
    uint64_t start = lab_ms();
    (void)state;
    lab_nodes(1);
    for (int i = 0; i < MANY; i++) {
        char key[16];
        snprintf(key, sizeof(key), "many%d", i);
        assert_int_equal(lookup_put(node(0), span_str(key), SPAN("v"), LIFE_MS, NULL), 0);
    }
    answered(lookup_put(node(0), SPAN("stays"), SPAN("v"), LIFE_MS, &then), LOOKUP_DONE, "");
    answered(lookup_touch(node(0), SPAN("stays"), LONG_MS, &then), LOOKUP_DONE, "v");
    answered(lookup_put(node(0), SPAN("goes"), SPAN("v"), LONG_MS, &then), LOOKUP_DONE, "");
    answered(lookup_touch(node(0), SPAN("goes"), LIFE_MS, &then), LOOKUP_DONE, "v");
    answered(lookup_put(node(0), SPAN("kept"), SPAN("v"), LIFE_MS, &then), LOOKUP_DONE, "");
    answered(lookup_swap(node(0), SPAN("kept"), SPAN("v"), SPAN("w"), 0, &then), LOOKUP_DONE, "");
    assert_int_equal(look(SPAN("goes")), LOOKUP_DONE);
    WAIT(look(SPAN("goes")) == LOOKUP_ABSENT && look(SPAN("kept")) == LOOKUP_ABSENT);
    assert_true(lab_ms() - start >= LIFE_MS);
    assert_int_equal(look(SPAN("many499")), LOOKUP_ABSENT);
    assert_int_equal(look(SPAN("stays")), LOOKUP_DONE);
    answered(lookup_add(node(0), SPAN("goes"), SPAN("x"), LONG_MS, &then), LOOKUP_DONE, "");
}

static void close_inside(void *arg, uint64_t tag, enum lookup_result result, struct span value)
{
    (void)tag, (void)result, (void)value;
    ++*(int *)arg;
    store_close(&lab.nodes[0]);
}

static void a_store_may_be_closed_by_an_answer(void **state)
{
    int answers = 0;
    struct lookup_then closing = {close_inside, &answers, 0};
    (void)state;
    lab_nodes(1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(lookup_get(node(0), SPAN("k"), &closing), 0);
    }
    WAIT(lab.nodes[0] == NULL);
    lab_run(20);
    assert_int_equal(answers, 1);
}

static void calls_open_at_the_close_are_not_told(void **state)
{
    struct tally tally = {0};
    struct lookup_then counted = {count, &tally, 0};
    (void)state;
    lab_nodes(1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(lookup_get(node(0), SPAN("k"), &counted), 0);
    }
    store_close(&lab.nodes[0]);
    lab_run(20);
    assert_int_equal(total(&tally), 0);
}

static void one_command_for_each_call(void **state)
{
    enum { MANY = 100 };
    struct tally tally = {0};
    struct lookup_then counted = {count, &tally, 0};
    (void)state;
    lab_nodes(1);
    uint64_t before = store_stats(node(0))->commands;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(lookup_get(node(0), SPAN("k"), &counted), 0);
    }
    WAIT(total(&tally) == MANY);
    if (lab_is_redis()) {
        uint64_t sent = store_stats(node(0))->commands - before;
        assert_in_range(sent, MANY, MANY + 50); /* one command each, and the link's own */
    }
}

/* ------------------------------------------------------------------------------------ faults */

static struct redis_server_process *const redis = &lab.servers[0];

/* Every call that was sent is answered once, with LOST where the server went first. */
static void a_killed_server_loses_what_is_open(void **state)
{
    enum { MANY = 200 };
    struct tally tally = {0};
    struct lookup_then counted = {count, &tally, 0};
    int sent = 0;
    (void)state;
    lab_nodes(1);
    redis_pause(redis);
    for (int i = 0; i < MANY; i++) {
        sent += lookup_add(node(0), SPAN("k"), SPAN("v"), LONG_MS, &counted) == 0;
        sent += lookup_swap(node(0), SPAN("k"), SPAN("v"), SPAN("w"), 0, &counted) == 0;
    }
    assert_int_equal(sent, 2 * MANY);
    lab_run(20);
    assert_int_equal(total(&tally), 0);
    redis_kill(redis);
    WAIT(total(&tally) == 2 * MANY);
    assert_int_equal(tally.lost, 2 * MANY);
    WAIT(!store_ready(node(0)));
    assert_int_equal(lookup_get(node(0), SPAN("k"), &then), -1);
    lab_run(50);
    assert_int_equal(ear.answers, 0);
    redis_start(redis, NULL, NULL);
    WAIT(store_ready(node(0)));
    answered(lookup_get(node(0), SPAN("k"), &then), LOOKUP_ABSENT, "");
}

static void a_server_that_forgot_the_script_is_told_again(void **state)
{
    (void)state;
    lab_nodes(1);
    answered(lookup_put(node(0), SPAN("k"), SPAN("a"), LONG_MS, &then), LOOKUP_DONE, "");
    freeReplyObject(redis_ask(redis, "SCRIPT FLUSH"));
    answered(lookup_swap(node(0), SPAN("k"), SPAN("a"), SPAN("b"), 0, &then), LOOKUP_DONE, "");
    answered(lookup_get(node(0), SPAN("k"), &then), LOOKUP_DONE, "b");
}

static void an_error_is_no_answer(void **state)
{
    (void)state;
    lab_nodes(1);
    freeReplyObject(redis_ask(redis, "RPUSH %s x", lab_key("l", "k")));
    answered(lookup_get(node(0), SPAN("k"), &then), LOOKUP_LOST, "");
    answered(lookup_swap(node(0), SPAN("k"), SPAN("a"), SPAN("b"), 0, &then), LOOKUP_LOST, "");
    assert_true(store_ready(node(0)));
}

static void lifetimes_are_the_servers(void **state)
{
    (void)state;
    lab_nodes(1);
    answered(lookup_add(node(0), SPAN("k"), SPAN("a"), LONG_MS, &then), LOOKUP_DONE, "");
    assert_in_range(redis_count(redis, "PTTL %s", lab_key("l", "k")), 1, LONG_MS);
    answered(lookup_touch(node(0), SPAN("k"), 10 * LONG_MS, &then), LOOKUP_DONE, "a");
    answered(lookup_swap(node(0), SPAN("k"), SPAN("a"), SPAN("b"), 0, &then), LOOKUP_DONE, "");
    assert_in_range(redis_count(redis, "PTTL %s", lab_key("l", "k")), LONG_MS + 1, 10 * LONG_MS);
    answered(lookup_swap(node(0), SPAN("k"), SPAN("b"), SPAN("c"), LONG_MS, &then), LOOKUP_DONE,
             "");
    assert_in_range(redis_count(redis, "PTTL %s", lab_key("l", "k")), 1, LONG_MS);
}

#define FAULT_TEST(function)                                                                       \
    cmocka_unit_test_setup_teardown(function, lab_redis_setup, lab_redis_teardown)

int test_lookup_faults(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(a_killed_server_loses_what_is_open),
        FAULT_TEST(a_server_that_forgot_the_script_is_told_again),
        FAULT_TEST(an_error_is_no_answer),
        FAULT_TEST(lifetimes_are_the_servers),
    };
    return cmocka_run_group_tests_name("lookup faults", tests, NULL, NULL);
}

int test_lookup(const char *name, CMFixtureFunction start)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(put_get_delete),
        LAB_TEST(add_takes_once),
        LAB_TEST(swap_changes_what_it_knows),
        LAB_TEST(of_many_that_add_one_wins),
        LAB_TEST(keys_and_values_are_any_bytes),
        LAB_TEST(answers_of_a_key_come_in_order),
        LAB_TEST(time_takes_keys_away),
        LAB_TEST(a_store_may_be_closed_by_an_answer),
        LAB_TEST(calls_open_at_the_close_are_not_told),
        LAB_TEST(one_command_for_each_call),
    };
    char title[32];
    snprintf(title, sizeof(title), "lookup on %s", name);
    return _cmocka_run_group_tests(title, tests, sizeof(tests) / sizeof(tests[0]), start, lab_end);
}
