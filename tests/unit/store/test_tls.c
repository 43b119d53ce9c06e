/* SPDX-License-Identifier: MIT */
/* TLS: which servers a store believes, and which clients a server does. The contract tests run over TLS beside this.
 */
#include "tests.h"

#include <stdio.h>
#include <string.h>

static struct redis_server_process *const redis = &lab.servers[0];
static struct store_tls files;

static int start(void **state)
{
    lab_setup(state);
    files = (struct store_tls){.ca = lab_cert("ca.pem")};
    lab.server_count = 1;
    return 0;
}

static int end(void **state)
{
    lab_teardown(state);
    return lab_end(state);
}

static struct store *open_node(const char *host)
{
    char url[64];
    snprintf(url, sizeof(url), "rediss://%s:%d", host, redis->tls_port);
    lab.tls = files;
    return lab_node_at(0, url);
}

static void is_believed(const char *host)
{
    struct listener l = {0};
    struct store *store = open_node(host);
    listener_start(&l, store, "topic", BUS_ECHO);
    WAIT(store_ready(store) && l.readies == 1);
    publish(0, "topic", "hello");
    WAIT(l.messages == 1);
    listener_stop(&l);
    store_close(&lab.nodes[0]);
}

/* It is not, with this in the text, and not by and by either. */
static void is_refused(const char *host, const char *because)
{
    int before = lab.links_down[0], up = lab.links_up[0];
    struct store *store = open_node(host);
    lab.last_text[0] = '\0';
    /* localhost may have an IPv6 address beside, where nobody listens. */
    WAIT(lab.links_down[0] >= before + 2 && strstr(lab.last_text, because) != NULL);
    assert_false(store_ready(store));
    assert_int_equal(lab.links_up[0], up);
    store_close(&lab.nodes[0]);
}

static void a_good_certificate(void **state)
{
    (void)state;
    redis_start_tls(redis, lab.certs, "server", false);
    is_believed("localhost");
    is_believed("127.0.0.1");
}

static void another_authority(void **state)
{
    (void)state;
    redis_start_tls(redis, lab.certs, "server", false);
    files.ca = lab_cert("other-ca.pem");
    is_refused("localhost", "certificate");
    files.ca = NULL; /* nor is it one of the system's */
    is_refused("localhost", "certificate");
}

static void a_name_it_was_not_made_for(void **state)
{
    (void)state;
    redis_start_tls(redis, lab.certs, "wrong-name", false);
    is_refused("localhost", "hostname mismatch");
    is_refused("127.0.0.1", "IP address mismatch");
    files.server_name = "elsewhere.test";
    is_believed("localhost");
    is_believed("127.0.0.1");
}

static void one_of_the_past(void **state)
{
    (void)state;
    redis_start_tls(redis, lab.certs, "expired", false);
    is_refused("localhost", "expired");
}

static void a_demanded_client_certificate(void **state)
{
    (void)state;
    redis_start_tls(redis, lab.certs, "server", true);
    is_refused("localhost", "certificate required");
    files.cert = lab_cert("stranger.pem");
    files.key = lab_cert("stranger.key");
    is_refused("localhost", "unknown ca");
    files.cert = lab_cert("client.pem");
    files.key = lab_cert("client.key");
    is_believed("localhost");
}

static void a_server_without_tls(void **state)
{
    (void)state;
    redis_start_tls(redis, lab.certs, "server", false);
    int tls_port = redis->tls_port;
    redis->tls_port = redis->port;
    is_refused("localhost", ""); /* Redis hangs up on what is no command of its own */
    redis->tls_port = tls_port;
}

static void a_plain_link_to_a_server_with_tls(void **state)
{
    char url[64];
    (void)state;
    redis_start_tls(redis, lab.certs, "server", false);
    snprintf(url, sizeof(url), "redis://localhost:%d", redis->tls_port);
    lab_node_at(0, url);
    WAIT(lab.links_down[0] >= 2);
    assert_int_equal(lab.links_up[0], 0);
}

/* Many records both ways, more than one read or one write takes. */
static void much_at_once(void **state)
{
    struct listener l = {0};
    struct buf big = {0};
    (void)state;
    redis_start_tls(redis, lab.certs, "server", false);
    struct store *store = open_node("localhost");
    listener_start(&l, store, "topic", BUS_ECHO);
    WAIT(l.readies == 1);
    for (int i = 0; i < 300000; i++) {
        buf_append(&big, SPAN("0123456789"));
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bus_publish(store, SPAN("topic"), buf_span(&big)), 0);
    }
    WAIT(l.messages == 3);
    assert_int_equal(l.bytes, 3 * big.len);
    for (int i = 0; i < 2000; i++) {
        publish(0, "topic", "little");
    }
    WAIT(l.messages == 2003);
    listener_stop(&l);
    buf_free(&big);
}

static void it_heals(void **state)
{
    (void)state;
    redis_start_tls(redis, lab.certs, "server", false);
    struct store *store = open_node("localhost");
    WAIT(store_ready(store));
    redis_kill(redis);
    WAIT(!store_ready(store));
    redis_start_tls(redis, lab.certs, "server", false);
    WAIT(store_ready(store));
    assert_int_equal(store_stats(store)->reconnects, 1);
}

static void refuse(const char *url, struct store_tls tls, const char *because)
{
    struct store_options options = {
        .base = lab.base, .url = url, .tls = tls, .prefix = "p", .node = "n", .lease_ms = 1000};
    char error[256] = "";
    assert_null(store_open(&options, error, sizeof(error)));
    if (strstr(error, because) == NULL) {
        fail_msg("refused with '%s', not '%s'", error, because);
    }
}

static void files_of_no_use_are_refused_at_once(void **state)
{
    const char *url = "rediss://localhost";
    (void)state;
    refuse(url, (struct store_tls){.ca = "/nowhere.pem"}, "/nowhere.pem: No such file");
    refuse(url, (struct store_tls){.ca = lab_cert("ca.key")}, "ca.key");
    refuse(url, (struct store_tls){.cert = "/nowhere.pem"}, "client certificate");
    refuse(url, (struct store_tls){.cert = lab_cert("client.pem")}, "client key");
    refuse(url, (struct store_tls){.key = lab_cert("client.key")}, "needs its certificate");
    refuse(url, (struct store_tls){.cert = lab_cert("client.pem"), .key = lab_cert("server.key")},
           "mismatch");
    refuse("redis://localhost", (struct store_tls){.ca = lab_cert("ca.pem")}, "rediss://");
    refuse("memory:", (struct store_tls){.ca = lab_cert("ca.pem")}, "rediss://");
}

#define TLS_TEST(function) cmocka_unit_test_setup_teardown(function, start, end)

int test_tls(void)
{
    const struct CMUnitTest tests[] = {
        TLS_TEST(a_good_certificate),
        TLS_TEST(another_authority),
        TLS_TEST(a_name_it_was_not_made_for),
        TLS_TEST(one_of_the_past),
        TLS_TEST(a_demanded_client_certificate),
        TLS_TEST(a_server_without_tls),
        TLS_TEST(a_plain_link_to_a_server_with_tls),
        TLS_TEST(much_at_once),
        TLS_TEST(it_heals),
        TLS_TEST(files_of_no_use_are_refused_at_once),
    };
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
