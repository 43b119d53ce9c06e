/* SPDX-License-Identifier: MIT */
#include "node/net/limit.h"
#include "tests/unit/cmocka_all.h"

static struct address ip(const char *text)
{
    struct address address;
    assert_int_equal(address_parse_ip(span_str(text), &address), 0);
    return address;
}

static int admitted(struct limit_table *rate, const char *from, uint64_t now_us, int tries)
{
    struct address address = ip(from);
    int count = 0;
    for (int i = 0; i < tries; i++) {
        count += limit_table_take(rate, &address, 1, now_us) ? 1 : 0;
    }
    return count;
}

static void test_a_burst_then_the_rate(void **state)
{
    struct limit_table *rate = limit_table_new(10, 5);
    uint64_t now = 1000000;
    (void)state;
    assert_int_equal(admitted(rate, "1.2.3.4", now, 100), 5);
    assert_int_equal(admitted(rate, "1.2.3.4", now + 99999, 100), 0);
    assert_int_equal(admitted(rate, "1.2.3.4", now + 100000, 100), 1);
    assert_int_equal(admitted(rate, "1.2.3.4", now + 400000, 100), 3);
    assert_int_equal(admitted(rate, "1.2.3.4", now + 60000000, 100), 5);
    limit_table_free(&rate);
    limit_table_free(&rate);
}

static void test_over_a_long_time_it_is_the_rate(void **state)
{
    struct limit_table *rate = limit_table_new(300, 1);
    int count = 0;
    (void)state;
    for (uint64_t now = 1; now <= 10000000; now += 500) {
        count += admitted(rate, "1.2.3.4", now, 1);
    }
    assert_in_range(count, 2850, 3001);
    limit_table_free(&rate);
}

static void test_sources_do_not_share(void **state)
{
    struct limit_table *rate = limit_table_new(1, 1);
    (void)state;
    assert_int_equal(admitted(rate, "1.2.3.4", 1, 9), 1);
    assert_int_equal(admitted(rate, "1.2.3.5", 1, 9), 1);
    assert_int_equal(admitted(rate, "2001:db8:1:2::1", 1, 9), 1);
    assert_int_equal(admitted(rate, "2001:db8:1:2:ffff::9", 1, 9), 0); /* the same /64 */
    assert_int_equal(admitted(rate, "2001:db8:1:3::1", 1, 9), 1);
    limit_table_free(&rate);
}

static void test_no_limit(void **state)
{
    struct limit_table *rate = limit_table_new(0, 1);
    (void)state;
    assert_int_equal(admitted(rate, "1.2.3.4", 1, 1000), 1000);
    limit_table_free(&rate);
}

static void test_many_tokens_at_once(void **state)
{
    struct limit_table *rate = limit_table_new(10, 5);
    struct address from = ip("1.2.3.4");
    uint64_t now = 1000000;
    (void)state;
    assert_true(limit_table_take(rate, &from, 3, now));
    assert_false(limit_table_take(rate, &from, 3, now));
    assert_true(limit_table_take(rate, &from, 2, now));
    now += 60000000;
    assert_true(limit_table_take(rate, &from, 20, now)); /* full: 15 in debt */
    assert_false(limit_table_take(rate, &from, 1, now + 1500000));
    assert_true(limit_table_take(rate, &from, 1, now + 1600000));
    limit_table_free(&rate);
}

/* A million other sources do not wash a flood out of the table. */
static void test_a_flood_stays_known(void **state)
{
    struct limit_table *rate = limit_table_new(1, 10);
    struct address other = ip("10.0.0.0");
    int flood = 0;
    (void)state;
    for (uint32_t i = 0; i < 1000000; i++) {
        memcpy(&other.ip[12], &i, sizeof(i));
        assert_true(limit_table_take(rate, &other, 1, 1));
        if (i % 100 == 0) {
            flood += admitted(rate, "1.2.3.4", 1, 1);
        }
    }
    assert_int_equal(flood, 10);
    limit_table_free(&rate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_then_the_rate),
        cmocka_unit_test(test_over_a_long_time_it_is_the_rate),
        cmocka_unit_test(test_sources_do_not_share),
        cmocka_unit_test(test_many_tokens_at_once),
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_a_flood_stays_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
