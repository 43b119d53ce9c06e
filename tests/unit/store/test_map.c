/* SPDX-License-Identifier: MIT */
/* What servers of a cluster say: maps of slots, redirections, URLs. */
#include "store/redis/map.h"
#include "store/redis/redirect.h"
#include "tests.h"

#include <string.h>

/* Reads `wire` as a map; false: it is none. */
static bool read_map(const char *wire, bool tls, struct redis_map *map)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    assert_int_equal(redisReaderFeed(reader, wire, strlen(wire)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    bool good = redis_map_read(map, reply, "asked.example", tls) == 0;
    freeReplyObject(reply);
    redisReaderFree(reader);
    return good;
}

static void expect_server(const struct redis_map *map, size_t at, const char *host, unsigned port,
                          unsigned slots, unsigned replicas)
{
    assert_in_range(at, 0, map->count - 1);
    assert_string_equal(map->servers[at].at.host, host);
    assert_int_equal(map->servers[at].at.port, port);
    assert_int_equal(map->servers[at].slots, slots);
    assert_int_equal(map->servers[at].replicas, replicas);
}

#define NODE(port, role, health)                                                                   \
    "*12\r\n+port\r\n:" port "\r\n+tls-port\r\n:1" port                                            \
    "\r\n+endpoint\r\n$1\r\nh\r\n+role\r\n+" role                                                  \
    "\r\n+replication-offset\r\n:7\r\n+health\r\n+" health "\r\n"

/* A shard of two ranges, whose last master has failed, and one without slots. */
static const char shards[] =
    "*2\r\n*4\r\n+slots\r\n*4\r\n:0\r\n:99\r\n:16383\r\n:16383\r\n+nodes\r\n*3\r\n" NODE(
        "71", "master", "fail") NODE("72", "master", "online")
        NODE("73", "replica",
             "online") "*4\r\n+slots\r\n*0\r\n+nodes\r\n*1\r\n" NODE("74", "master", "online");

static void shards_are_read(void **state)
{
    struct redis_map map;
    (void)state;
    assert_true(read_map(shards, false, &map));
    assert_int_equal(map.count, 1);
    expect_server(&map, 0, "h", 72, 101, 1);
    assert_int_equal(map.slots, 101);
    for (unsigned p = 0; p < PARTITIONS; p++) {
        unsigned slot = partition_slot(p);
        assert_int_equal(map.owner[p], slot <= 99 || slot == 16383 ? 0 : -1);
    }
    redis_map_free(&map);
    assert_true(read_map(shards, true, &map));
    expect_server(&map, 0, "h", 172, 101, 1);
    redis_map_free(&map);
}

static void slots_are_read(void **state)
{
    struct redis_map map;
    (void)state;
    assert_true(read_map("*3\r\n*3\r\n:0\r\n:8191\r\n*3\r\n$0\r\n\r\n:7\r\n$1\r\nx\r\n"
                         "*4\r\n:8192\r\n:16000\r\n*2\r\n$1\r\nb\r\n:8\r\n*2\r\n$1\r\nr\r\n:9\r\n"
                         "*3\r\n:16001\r\n:16383\r\n*2\r\n$0\r\n\r\n:7\r\n",
                         false, &map));
    assert_int_equal(map.count, 2);
    expect_server(&map, 0, "asked.example", 7, 8192 + 383, 0);
    expect_server(&map, 1, "b", 8, 7809, 1);
    assert_int_equal(map.slots, 16384);
    assert_int_equal(map.owner[0], 0);
    assert_int_equal(map.owner[128], 1);
    assert_int_equal(map.owner[255], 0);
    redis_map_free(&map);
}

static void what_is_no_map_is_refused(void **state)
{
    static const char *const wrong[] = {
        "*0\r\n",
        "+OK\r\n",
        "*1\r\n*3\r\n:5\r\n:4\r\n*2\r\n$1\r\nb\r\n:8\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nb\r\n:8\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nb\r\n:0\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nb\r\n:65536\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*2\r\n*3\r\n:0\r\n:9\r\n*2\r\n$1\r\nb\r\n:8\r\n*3\r\n:9\r\n:16383\r\n*2\r\n$1\r\nc\r\n:"
        "8\r\n",
        "*1\r\n*4\r\n+slots\r\n*2\r\n:0\r\n+x\r\n+nodes\r\n*1\r\n" NODE("71", "master", "online"),
        "*1\r\n*4\r\n+slots\r\n*2\r\n:0\r\n:1\r\n+nodes\r\n*1\r\n*2\r\n+role\r\n+master\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct redis_map map;
        assert_false(read_map(wrong[i], false, &map));
    }
}

static void expect_redirect(const char *error, enum redirect_kind kind, unsigned slot,
                            const char *host, unsigned port)
{
    struct redis_redirect to = redis_redirect_read(error);
    assert_int_equal(to.kind, kind);
    assert_int_equal(to.slot, slot);
    assert_int_equal(to.port, port);
    assert_true(span_eq(to.host, span_str(host)));
}

static void redirections_are_read(void **state)
{
    (void)state;
    expect_redirect("MOVED 3999 127.0.0.1:6381", REDIRECT_MOVED, 3999, "127.0.0.1", 6381);
    expect_redirect("ASK 0 ::1:6381", REDIRECT_ASK, 0, "::1", 6381);
    expect_redirect("MOVED 16383 :7", REDIRECT_MOVED, 16383, "", 7);
    expect_redirect("MOVED 16384 a:7", REDIRECT_NONE, 0, "", 0);
    expect_redirect("MOVED 1 a", REDIRECT_NONE, 1 - 1, "", 0);
    expect_redirect("TRYAGAIN Multiple keys request during rehashing of slot", REDIRECT_AGAIN, 0,
                    "", 0);
    expect_redirect("ERR Script attempted to access a non local key in a cluster node script: x",
                    REDIRECT_AGAIN, 0, "", 0);
    expect_redirect("CLUSTERDOWN Hash slot not served", REDIRECT_UNSERVED, 0, "", 0);
    expect_redirect("CLUSTERDOWN The cluster is down", REDIRECT_NONE, 0, "", 0);
    expect_redirect("READONLY", REDIRECT_NONE, 0, "", 0);
}

static void expect_refused(const char *text, const char *why)
{
    struct redis_url url;
    char error[256] = "";
    assert_int_equal(redis_url_parse(text, &url, error, sizeof(error)), -1);
    if (strstr(error, why) == NULL) {
        fail_msg("%s: %s", text, error);
    }
}

static void urls_of_clusters_are_read(void **state)
{
    struct redis_url url;
    char error[256];
    (void)state;
    assert_int_equal(
        redis_url_parse("rediss+cluster://u:p@a,b:7,[::1]/", &url, error, sizeof(error)), 0);
    assert_int_equal(url.count, 1);
    assert_true(url.servers[0].cluster && url.servers[0].tls);
    assert_int_equal(url.servers[0].count, 3);
    assert_string_equal(url.servers[0].at[2].host, "::1");
    assert_int_equal(url.servers[0].at[1].port, 7);
    assert_string_equal(url.servers[0].login.pass, "p");
    redis_url_free(&url);
    expect_refused("redis+cluster://a/1", "no databases");
    expect_refused("redis+cluster://a,b/1", "no databases");
    expect_refused("redis+cluster://a#x", "stands alone");
    expect_refused("redis+cluster://a,redis://b", "stands alone");
    expect_refused("redis://b,redis+cluster://a", "stands alone");
    expect_refused("redis+cluster://a,u:p@b", "before the first one");
    expect_refused("redis+cluster://", "host");
}

static void keys_name_their_partition(void **state)
{
    struct buf key = {0};
    (void)state;
    partition_key(&key, "p", "b", SPAN("}{x}"));
    assert_int_equal(partition_of_key(buf_span(&key)), partition_of(SPAN("}{x}")));
    buf_free(&key);
    assert_int_equal(partition_of_key(SPAN("p:proof:n:1")), -1);
    assert_int_equal(partition_of_key(SPAN("p:{}:b")), -1);
    assert_int_equal(partition_of_key(SPAN("p:{zz}:b")), -1);
}

int test_map(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_are_read),           cmocka_unit_test(slots_are_read),
        cmocka_unit_test(what_is_no_map_is_refused), cmocka_unit_test(redirections_are_read),
        cmocka_unit_test(urls_of_clusters_are_read), cmocka_unit_test(keys_name_their_partition),
    };
    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
