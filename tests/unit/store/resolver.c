/* SPDX-License-Identifier: MIT */
#include "store/resolver/resolver.h"

#include "tests/unit/cmocka_all.h"

#include <arpa/inet.h>
#include <string.h>

struct lab {
    struct event_base *base;
    struct resolver *resolver;
    int answers, addresses;
    char why[128];
    struct resolver_query *other;
};

static void on_found(void *arg, const struct addrinfo *found, const char *why)
{
    struct lab *lab = arg;
    lab->answers++;
    for (; found != NULL; found = found->ai_next) {
        lab->addresses++;
    }
    snprintf(lab->why, sizeof(lab->why), "%s", why);
}

static void on_found_cancel_other(void *arg, const struct addrinfo *found, const char *why)
{
    struct lab *lab = arg;
    on_found(arg, found, why);
    resolver_cancel(&lab->other);
}

static void wait_answers(struct lab *lab, int count)
{
    for (int turns = 0; lab->answers < count && turns < 1000; turns++) {
        event_base_loop(lab->base, EVLOOP_ONCE);
    }
    assert_int_equal(lab->answers, count);
}

static int set_up(void **state)
{
    static struct lab lab;
    lab = (struct lab){.base = event_base_new()};
    lab.resolver = resolver_new(lab.base);
    *state = &lab;
    return 0;
}

static int tear_down(void **state)
{
    struct lab *lab = *state;
    resolver_free(&lab->resolver);
    assert_null(lab->resolver);
    resolver_free(&lab->resolver);
    event_base_free(lab->base);
    return 0;
}

static void test_a_name_and_digits(void **state)
{
    struct lab *lab = *state;
    assert_non_null(resolver_ask(lab->resolver, "localhost", on_found, lab));
    assert_int_equal(lab->answers, 0);
    wait_answers(lab, 1);
    assert_true(lab->addresses >= 1);
    assert_non_null(resolver_ask(lab->resolver, "::1", on_found, lab));
    wait_answers(lab, 2);
}

static void test_a_name_that_is_none(void **state)
{
    struct lab *lab = *state;
    assert_non_null(resolver_ask(lab->resolver, "no such name", on_found, lab));
    wait_answers(lab, 1);
    assert_int_equal(lab->addresses, 0);
    assert_true(lab->why[0] != '\0');
}

static void test_many_ask_and_some_give_up(void **state)
{
    struct lab *lab = *state;
    assert_non_null(resolver_ask(lab->resolver, "localhost", on_found_cancel_other, lab));
    lab->other = resolver_ask(lab->resolver, "localhost", on_found, lab);
    for (int i = 0; i < 40; i++) {
        char name[32];
        struct resolver_query *gone = resolver_ask(lab->resolver, "localhost", on_found, lab);
        snprintf(name, sizeof(name), "127.0.0.%d", i + 1);
        assert_non_null(resolver_ask(lab->resolver, name, on_found, lab));
        resolver_cancel(&gone);
        assert_null(gone);
    }
    wait_answers(lab, 41);
    assert_null(lab->other);
}

/* An asker that gave up before the answer came and asks again gets it, in a later turn. */
static void test_an_answer_is_kept_for_who_comes_back(void **state)
{
    struct lab *lab = *state;
    struct resolver_query *first = resolver_ask(lab->resolver, "localhost", on_found, lab);
    resolver_cancel(&first);
    event_base_loop(lab->base, EVLOOP_ONCE); /* it came */
    assert_non_null(resolver_ask(lab->resolver, "localhost", on_found, lab));
    assert_int_equal(lab->answers, 0);
    event_base_loop(lab->base, EVLOOP_NONBLOCK);
    assert_int_equal(lab->answers, 1);
}

static void test_freed_while_it_looks_up(void **state)
{
    struct lab *lab = *state;
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "127.0.1.%d", i);
        assert_non_null(resolver_ask(lab->resolver, name, on_found, lab));
    }
    resolver_free(&lab->resolver);
    event_base_loop(lab->base, EVLOOP_NONBLOCK);
    assert_int_equal(lab->answers, 0);
}

static void test_addresses_in_turn(void **state)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct addrinfo second = {
        .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&four, .ai_addrlen = sizeof(four)};
    struct addrinfo first = {.ai_family = AF_INET6,
                             .ai_addr = (struct sockaddr *)&six,
                             .ai_addrlen = sizeof(six),
                             .ai_next = &second};
    struct sockaddr_storage out;
    (void)state;
    assert_int_equal(resolver_pick(&first, 0, 80, &out), sizeof(six));
    assert_int_equal(((struct sockaddr_in6 *)&out)->sin6_port, htons(80));
    assert_int_equal(resolver_pick(&first, 3, 81, &out), sizeof(four));
    assert_int_equal(((struct sockaddr_in *)&out)->sin_port, htons(81));
    assert_int_equal(resolver_pick(&first, 4, 82, &out), sizeof(six));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_name_and_digits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_name_that_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_ask_and_some_give_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_answer_is_kept_for_who_comes_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_freed_while_it_looks_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_addresses_in_turn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
