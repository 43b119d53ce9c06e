/* SPDX-License-Identifier: MIT */
#include "node/net/cidr.h"
#include "tests/unit/cmocka_all.h"

static bool has(const char *ranges, const char *ip)
{
    struct cidr_list list;
    struct address address;
    struct span wrong;
    assert_int_equal(cidr_list_parse(span_str(ranges), &list, &wrong), 0);
    assert_int_equal(address_parse_ip(span_str(ip), &address), 0);
    bool found = cidr_list_has(&list, &address);
    cidr_list_free(&list);
    return found;
}

static void test_one_address(void **state)
{
    (void)state;
    assert_true(has("10.1.2.3", "10.1.2.3"));
    assert_true(has("10.1.2.3", "::ffff:10.1.2.3"));
    assert_true(has("::ffff:10.1.2.3", "10.1.2.3"));
    assert_false(has("10.1.2.3", "10.1.2.4"));
    assert_true(has("2001:db8::1", "2001:DB8:0::1"));
    assert_false(has("", "10.1.2.3"));
    assert_false(has(" , ,", "10.1.2.3"));
}

static void test_ranges(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.255.255"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("10.1.2.3/31", "10.1.2.2"));
    assert_false(has("10.1.2.3/31", "10.1.2.4"));
    assert_true(has("192.168.1.128/25", "192.168.1.200"));
    assert_false(has("192.168.1.128/25", "192.168.1.100"));
    assert_true(has("0.0.0.0/0", "255.1.2.3"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("::/0", "1.2.3.4"));
    assert_true(has("::ffff:127.0.0.0/8", "127.1.2.3"));
    assert_false(has("::ffff:127.0.0.0/8", "10.1.2.3"));
    assert_false(has("::ffff:127.0.0.0/8", "::1"));
    assert_true(has("::ffff:127.0.0.0/104", "127.1.2.3"));
    assert_false(has("::ffff:127.0.0.0/104", "128.1.2.3"));
    assert_true(has("::ffff:0:0/96", "128.1.2.3"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::"));
    assert_true(has("1.1.1.1, 10.0.0.0/8 ,::1", "::1"));
}

static void test_what_is_no_range_is_named(void **state)
{
    static const char *const bad[] = {"10.0.0",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/x",
                                      "10.0.0.0/0032",
                                      "::/129",
                                      "/8",
                                      "localhost",
                                      "1.2.3.4/8/8",
                                      "::ffff:10.0.0.0/64",
                                      "::ffff:a00:0/8"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char text[64];
        struct cidr_list list;
        struct span wrong;
        snprintf(text, sizeof(text), "1.1.1.1, %s ,2.2.2.2", bad[i]);
        assert_int_equal(cidr_list_parse(span_str(text), &list, &wrong), -1);
        assert_true(span_eq(wrong, span_str(bad[i])));
        assert_null(list.ranges);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_address),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_what_is_no_range_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
