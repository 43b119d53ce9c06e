/* SPDX-License-Identifier: MIT */
/* Which partition a name is in, and which server of a list has it. */
#include "store/redis/url.h"
#include "store/store_impl.h"
#include "tests.h"

#include <string.h>

static unsigned slot_of(const char *tag)
{
    unsigned crc = 0;
    for (; *tag != '\0'; tag++) {
        crc ^= (unsigned)(unsigned char)*tag << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021U : 0)) & 0xffff;
        }
    }
    return crc % 16384;
}

static void tags_are_spread_over_all_slots(void **state)
{
    (void)state;
    assert_int_equal(slot_of("123456789"), 0x31c3 % 16384); /* CRC16, XMODEM */
    for (unsigned p = 0; p < PARTITIONS; p++) {
        assert_int_equal(slot_of(partition_tag(p)) / 64, p);
        assert_int_equal(strlen(partition_tag(p)), strlen(partition_tag(0)));
    }
}

/* A session's id may be anything; the braces that count are the first. */
static void braces_in_a_name_change_nothing(void **state)
{
    struct buf key = {0};
    (void)state;
    partition_key(&key, "p", "r", SPAN("}{x}"));
    const char *open = strchr(buf_text(&key), '{'), *close = strchr(buf_text(&key), '}');
    assert_int_equal(close - open - 1, strlen(partition_tag(0)));
    assert_memory_equal(open + 1, partition_tag(partition_of(SPAN("}{x}"))),
                        strlen(partition_tag(0)));
    buf_free(&key);
}

static unsigned best(unsigned partition, const char *const *servers, unsigned count)
{
    unsigned owner = 0;
    for (unsigned i = 1; i < count; i++) {
        if (partition_weight(partition, span_str(servers[i])) >
            partition_weight(partition, span_str(servers[owner]))) {
            owner = i;
        }
    }
    return owner;
}

static void a_server_more_moves_its_share_and_no_other(void **state)
{
    static const char *const servers[] = {"10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379",
                                          "10.0.0.4:6379", "10.0.0.5:6379"};
    (void)state;
    for (unsigned count = 1; count < 5; count++) {
        unsigned moved = 0;
        for (unsigned p = 0; p < PARTITIONS; p++) {
            unsigned before = best(p, servers, count), after = best(p, servers, count + 1);
            assert_true(after == before || after == count);
            moved += after != before;
        }
        assert_in_range(moved, PARTITIONS / (count + 1) * 6 / 10,
                        PARTITIONS / (count + 1) * 14 / 10);
    }
}

static char *list_of(const char *text)
{
    struct redis_url url;
    char error[200];
    assert_int_equal(redis_url_parse(text, &url, error, sizeof(error)), 0);
    char *list = redis_url_list(&url);
    redis_url_free(&url);
    return list;
}

static void expect_list(const char *text, const char *expected)
{
    char *list = list_of(text);
    assert_string_equal(list, expected);
    free(list);
}

static void a_list_is_the_same_in_any_order(void **state)
{
    struct redis_url url;
    char error[200];
    (void)state;
    expect_list("redis://b,a:7", "a:7,b:6379");
    expect_list("redis://a:7,b", "a:7,b:6379");
    expect_list("redis://:secret@a/2#two,rediss://x#one", "one,two");
    expect_list("redis+sentinel://s1,s2/first,redis+sentinel://s1,s2/second#other", "first,other");
    expect_list("redis://127.0.0.1", "one server");
    expect_list("redis://127.0.0.1#named", "named");
    assert_int_equal(redis_url_parse("redis://a,a", &url, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "two servers have the same name"));
    assert_int_equal(redis_url_parse("redis://a#", &url, error, sizeof(error)), -1);
    assert_int_equal(redis_url_parse("redis://a#b#c", &url, error, sizeof(error)), -1);
}

/* A node with one server more, or less, would look for keys where they are not. */
static void another_list_is_refused_and_named(void **state)
{
    char one[64], third[300], expected[256];
    (void)state;
    lab_nodes(2);
    snprintf(one, sizeof(one), "redis://127.0.0.1:%d", lab.servers[0].port);
    struct store *poor = lab_node_at(2, one);
    WAIT(store_refusal(poor) != NULL);
    snprintf(expected, sizeof(expected), "the fleet has the servers %s, this node one server",
             lab.nodes[0]->servers);
    assert_string_equal(store_refusal(poor), expected);
    assert_false(store_works(poor));
    snprintf(third, sizeof(third), "%s,redis://127.0.0.1:1#nobody", lab.url);
    struct store *rich = lab_node_at(3, third);
    WAIT(store_refusal(rich) != NULL);
    lab_run(LEASE_MS);
    assert_false(store_works(rich));
    assert_true(store_ready(lab.nodes[0]) && store_ready(lab.nodes[1]));
}

static void the_list_outlives_the_fleet(void **state)
{
    char one[64];
    (void)state;
    lab.lease_ms = 200;
    lab_nodes(1);
    store_close(&lab.nodes[0]);
    lab_run(7 * 200);
    snprintf(one, sizeof(one), "redis://localhost:%d/3", lab.servers[1].port);
    struct store *poor = lab_node_at(1, one);
    WAIT(store_refusal(poor) != NULL);
}

static void another_order_of_the_list_is_the_same_list(void **state)
{
    char turned[128];
    struct listener heard = {0};
    (void)state;
    snprintf(turned, sizeof(turned), "redis://localhost:%d/3,127.0.0.1:%d", lab.servers[1].port,
             lab.servers[0].port);
    lab_nodes(1);
    struct store *other = lab_node_at(1, turned);
    WAIT(store_ready(other));
    for (int i = 0; i < 20; i++) {
        char topic[16];
        snprintf(topic, sizeof(topic), "topic %d", i);
        listener_start(&heard, other, topic, BUS_NO_ECHO);
        WAIT(heard.readies == 1);
        publish(0, topic, "there");
        WAIT(heard.messages == 1);
        listener_stop(&heard);
        memset(&heard, 0, sizeof(heard));
    }
}

static bool away_says(const struct store *store, const char *words)
{
    struct buf text = {0};
    store_print_away(store, &text);
    bool says = strstr(buf_text(&text), words) != NULL;
    buf_free(&text);
    return says;
}

static void what_is_away_is_named(void **state)
{
    struct buf text = {0};
    (void)state;
    lab_nodes(1);
    store_print_away(lab.nodes[0], &text);
    assert_int_equal(text.len, 0);
    redis_kill(&lab.servers[1]);
    WAIT(!store_ready(lab.nodes[0]));
    assert_true(store_works(lab.nodes[0]));
    unsigned away = store_partitions_away(lab.nodes[0]);
    assert_in_range(away, 1, PARTITIONS - 1);
    char expected[128];
    snprintf(expected, sizeof(expected), "away: localhost:%d/3 (%u of 256 partitions)",
             lab.servers[1].port, away);
    store_print_away(lab.nodes[0], &text);
    assert_true(span_starts_with(buf_span(&text), span_str(expected)));
    WAIT(away_says(lab.nodes[0], "Connection refused"));
    redis_kill(&lab.servers[0]);
    WAIT(!store_works(lab.nodes[0]));
    snprintf(expected, sizeof(expected), "127.0.0.1 port %d: ", lab.servers[0].port);
    WAIT(away_says(lab.nodes[0], expected));
    assert_int_equal(store_partitions_away(lab.nodes[0]), PARTITIONS);
    buf_free(&text);
    redis_start(&lab.servers[0], NULL, NULL);
    redis_start(&lab.servers[1], NULL, NULL);
    WAIT(store_ready(lab.nodes[0]));
    assert_false(away_says(lab.nodes[0], "away"));
}

int test_partition(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_are_spread_over_all_slots),
        cmocka_unit_test(braces_in_a_name_change_nothing),
        cmocka_unit_test(a_server_more_moves_its_share_and_no_other),
        cmocka_unit_test(a_list_is_the_same_in_any_order),
        LAB_TEST(another_list_is_refused_and_named),
        LAB_TEST(the_list_outlives_the_fleet),
        LAB_TEST(another_order_of_the_list_is_the_same_list),
        LAB_TEST(what_is_away_is_named),
    };
    return cmocka_run_group_tests_name("partition", tests, lab_shards, lab_end);
}
