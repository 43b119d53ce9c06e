/* SPDX-License-Identifier: MIT */
#include "store/redis/url.h"
#include "tests.h"

static void parse(const char *text, struct redis_url *url)
{
    char error[256] = "";
    int result = redis_url_parse(text, url, error, sizeof(error));
    assert_string_equal(error, "");
    assert_int_equal(result, 0);
}

static void refuse(const char *text, const char *because)
{
    struct redis_url url;
    char error[256] = "";
    assert_int_equal(redis_url_parse(text, &url, error, sizeof(error)), -1);
    if (strstr(error, because) == NULL) {
        fail_msg("'%s' is refused with '%s', not '%s'", text, error, because);
    }
    assert_null(strstr(error, "geheim"));
    assert_int_equal(url.count, 0);
}

static void one_server(void **state)
{
    struct redis_url url;
    (void)state;
    parse("redis://example", &url);
    assert_int_equal(url.count, 1);
    assert_string_equal(url.servers[0].at[0].host, "example");
    assert_int_equal(url.servers[0].at[0].port, 6379);
    assert_int_equal(url.servers[0].db, 0);
    assert_null(url.servers[0].login.user);
    assert_null(url.servers[0].login.pass);
    redis_url_free(&url);
    parse("redis://u%3Aser:p%40ss%2fw%2Co%25rd@10.0.0.1:7000/12", &url);
    assert_string_equal(url.servers[0].login.user, "u:ser");
    assert_string_equal(url.servers[0].login.pass, "p@ss/w,o%rd");
    assert_string_equal(url.servers[0].at[0].host, "10.0.0.1");
    assert_int_equal(url.servers[0].at[0].port, 7000);
    assert_int_equal(url.servers[0].db, 12);
    redis_url_free(&url);
    parse("redis://:pw%41@h/", &url);
    assert_null(url.servers[0].login.user);
    assert_string_equal(url.servers[0].login.pass, "pwA");
    redis_url_free(&url);
}

static void several_servers_and_ipv6(void **state)
{
    struct redis_url url;
    (void)state;
    parse("redis://[::1]:7001/2,redis://b:7002,c:7003,[fe80::2]", &url);
    assert_int_equal(url.count, 4);
    assert_string_equal(url.servers[0].at[0].host, "::1");
    assert_int_equal(url.servers[0].at[0].port, 7001);
    assert_int_equal(url.servers[0].db, 2);
    assert_int_equal(url.servers[1].at[0].port, 7002);
    assert_string_equal(url.servers[2].at[0].host, "c");
    assert_string_equal(url.servers[3].at[0].host, "fe80::2");
    assert_int_equal(url.servers[3].at[0].port, 6379);
    redis_url_free(&url);
}

static void tls_goes_on_after_a_comma(void **state)
{
    struct redis_url url;
    (void)state;
    parse("rediss://a:1,b,redis://c,d,rediss://e", &url);
    assert_int_equal(url.count, 5);
    assert_true(url.servers[0].tls && url.servers[1].tls && url.servers[4].tls);
    assert_false(url.servers[2].tls || url.servers[3].tls);
    assert_null(url.servers[0].master);
    redis_url_free(&url);
}

static void sentinels(void **state)
{
    struct redis_url url;
    (void)state;
    parse("redis+sentinel://u:p%2Cw@a:1,b,[::1]:3/first?db=4&sentinel-user=s&sentinel-pass=t%26,"
          "rediss+sentinel://c/second,rediss://d",
          &url);
    assert_int_equal(url.count, 3);
    assert_int_equal(url.servers[0].count, 3);
    assert_string_equal(url.servers[0].at[0].host, "a");
    assert_int_equal(url.servers[0].at[0].port, 1);
    assert_int_equal(url.servers[0].at[1].port, 26379);
    assert_string_equal(url.servers[0].at[2].host, "::1");
    assert_string_equal(url.servers[0].master, "first");
    assert_string_equal(url.servers[0].login.user, "u");
    assert_string_equal(url.servers[0].login.pass, "p,w");
    assert_string_equal(url.servers[0].sentinel_login.user, "s");
    assert_string_equal(url.servers[0].sentinel_login.pass, "t&");
    assert_int_equal(url.servers[0].db, 4);
    assert_false(url.servers[0].tls);
    assert_true(url.servers[1].tls);
    assert_string_equal(url.servers[1].master, "second");
    assert_null(url.servers[2].master);
    redis_url_free(&url);
}

static void what_is_refused(void **state)
{
    (void)state;
    refuse("", "empty");
    refuse("redis://", "host");
    refuse("http://a", "redis://");
    refuse("localhost:6379", "redis://");
    refuse("redis+tls://a", "redis://");
    refuse("redis+sentinel://a:1,b", ".../name");
    refuse("redis+sentinel://a/", "name");
    refuse("redis+sentinel://a/m?", "option");
    refuse("redis+sentinel://a/m?x=1", "option");
    refuse("redis+sentinel://a/m?db=x", "database");
    refuse("redis+sentinel://a/m?sentinel-user=u", "sentinel-pass");
    refuse("redis+sentinel://a/m?sentinel-pass=geheim%4", "escape");
    refuse("redis+sentinel://a/m,b", "server 2");
    refuse("redis+sentinel://a,redis://b/m", ".../name");
    refuse("redis+sentinel://u:geheim@a,u:geheim@b/m", "port");
    refuse("redis+sentinel://", "host");
    refuse("redis+sentinel://a,,b/m", "host");
    refuse("redis://a,http://b", "redis://");
    refuse("redis://a,,b", "server 2");
    refuse("redis://a,", "server 2");
    refuse("redis://a:0", "port");
    refuse("redis://a:", "port");
    refuse("redis://a:65536", "port");
    refuse("redis://a:99999999999999999999999", "port");
    refuse("redis://a:6x", "port");
    refuse("redis://a/x", "database");
    refuse("redis://a/99999999", "database");
    refuse("redis://a/1?x=1", "database");
    refuse("redis://[::1", "']'");
    refuse("redis://[::1]6379", "port");
    refuse("redis://geheim@a", "credentials");
    refuse("redis://u:geheim%4@a", "escape");
    refuse("redis://u:geheim%zz@a", "escape");
    refuse("redis://u:geheim%00@a", "escape");
    refuse("redis://u:geh@eim@a", "%40");
    refuse("redis://a b", "host");
}

static void the_store_checks_its_options(void **state)
{
    struct event_base *base = event_base_new();
    struct store_options options = {
        .base = base, .url = "memory:", .prefix = "p", .node = "n", .lease_ms = 1000};
    char error[256] = "";
    (void)state;
    assert_int_equal(store_check_url("memory:", error, sizeof(error)), 0);
    assert_int_equal(store_check_url("redis://a", error, sizeof(error)), 0);
    assert_int_equal(store_check_url("memory:x", error, sizeof(error)), -1);
    options.node = "with space";
    assert_null(store_open(&options, error, sizeof(error)));
    assert_non_null(strstr(error, "node"));
    options.node = "n";
    options.prefix = "";
    assert_null(store_open(&options, error, sizeof(error)));
    options.prefix = "p";
    options.lease_ms = 0;
    assert_null(store_open(&options, error, sizeof(error)));
    options.lease_ms = 1000;
    options.url = "nothing";
    assert_null(store_open(&options, error, sizeof(error)));
    options.url = "memory:";
    struct store *store = store_open(&options, error, sizeof(error));
    assert_true(store_ready(store));
    store_close(&store);
    store_close(&store);
    store_close(NULL);
    event_base_free(base);
}

static void a_list_that_changes(void **state)
{
    struct redis_url url;
    (void)state;
    parse("redis://a:1;redis://b:2,a:1,c#third", &url);
    assert_int_equal(url.count, 3);
    assert_string_equal(url.before, "one server");
    assert_string_equal(url.after, "a:1,b:2,third");
    char *list = redis_url_list(&url);
    assert_string_equal(list, "one server;a:1,b:2,third");
    free(list);
    assert_true(url.servers[0].before && url.servers[0].after);
    assert_true(!url.servers[1].before && url.servers[1].after);
    assert_string_equal(url.servers[2].name, "third");
    redis_url_free(&url);
    parse("redis://:geheim@a#x,b#y;redis+sentinel://s:1,s:2/m#z", &url);
    assert_int_equal(url.count, 3);
    assert_string_equal(url.before, "x,y");
    assert_string_equal(url.after, "z");
    assert_true(url.servers[1].before && !url.servers[1].after);
    char error[128];
    assert_int_equal(redis_url_take_logins(&url,
                                           "redis://:new@a#x,b#y;redis+sentinel://s:1,s:2/m#z",
                                           error, sizeof(error)),
                     0);
    assert_string_equal(url.servers[0].login.pass, "new");
    assert_int_equal(redis_url_take_logins(&url, "redis://a#x,b#y", error, sizeof(error)), -1);
    redis_url_free(&url);
    refuse("redis://a,b;redis://b,a", "both lists have the same servers");
    refuse("redis://a;redis://b;redis://c", "one list changes into one other");
    refuse("redis://a#x;redis://b#x,c#y", "the same name in both lists");
    refuse("redis://a;redis://a#x", "another name in each");
    refuse("redis://a;redis+cluster://b", "a cluster moves its slots by itself");
    refuse("redis+cluster://b;redis://a", "a cluster");
    refuse("redis://:geheim@a;", "a server is empty");
    refuse(";redis://:geheim@a", "a server is empty");
}

int test_url(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_that_changes),
        cmocka_unit_test(one_server),
        cmocka_unit_test(several_servers_and_ipv6),
        cmocka_unit_test(tls_goes_on_after_a_comma),
        cmocka_unit_test(sentinels),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(the_store_checks_its_options),
    };
    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
