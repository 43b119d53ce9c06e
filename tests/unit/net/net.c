/* SPDX-License-Identifier: MIT */
#include "node/net/address.h"
#include "node/net/conn.h"
#include "node/net/listener.h"
#include "node/net/outq.h"
#include "store/base/buf.h"
#include "tests/unit/cmocka_all.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------ address */

static void expect_bind(const char *text, const char *printed, int family_wanted)
{
    struct address address;
    int family;
    char out[ADDRESS_TEXT];
    assert_int_equal(address_parse_bind(text, &address, &family), 0);
    assert_string_equal(address_text(&address, out), printed);
    assert_int_equal(family, family_wanted);
}

static void test_addresses(void **state)
{
    (void)state;
    expect_bind("127.0.0.1:80", "127.0.0.1:80", AF_INET);
    expect_bind("[::1]:80", "[::1]:80", AF_INET6);
    expect_bind(":80", "[::]:80", AF_INET6);
    expect_bind("localhost:80", "127.0.0.1:80", AF_INET);
    expect_bind("[2001:DB8:0:0::1]:65535", "[2001:db8::1]:65535", AF_INET6);
    static const char *const bad[] = {"",          "80",
                                      "1.2.3.4",   "1.2.3.4:",
                                      "1.2.3.4:x", "1.2.3.4:65536",
                                      "::1:80",    "[::1]",
                                      "[1.2.3:80", "no.such.name.invalid:80",
                                      "1.2.3:80",  "1.2.3.4:-1",
                                      "1.2.3.4: 1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct address address;
        int family;
        assert_int_equal(address_parse_bind(bad[i], &address, &family), -1);
    }
}

static void test_ipv4_is_the_same_mapped_or_not(void **state)
{
    (void)state;
    struct address plain, mapped;
    char out[ADDRESS_TEXT];
    assert_int_equal(address_parse_ip(SPAN("10.1.2.3"), &plain), 0);
    assert_int_equal(address_parse_ip(SPAN("::ffff:10.1.2.3"), &mapped), 0);
    assert_memory_equal(plain.ip, mapped.ip, sizeof(plain.ip));
    assert_string_equal(address_ip_text(&mapped, out), "10.1.2.3");
    assert_int_equal(address_parse_ip(SPAN("10.1.2"), &plain), -1);
    assert_int_equal(address_parse_ip(span_of("10.1.2.3\0", 9), &plain), -1);
}

/* ------------------------------------------------------------------------------------ outq */

static void test_outq_counts_partial_writes(void **state)
{
    (void)state;
    struct outq q = {0};
    struct outq_pool pool = {0};
    struct chunk *chunk = chunk_copy(SPAN("0123456789"));
    for (int i = 0; i < 100; i++) {
        outq_push(&q, &pool, chunk);
    }
    assert_int_equal(chunk->refs, 101);
    assert_int_equal(q.bytes, 1000);
    outq_wrote(&q, &pool, 13);
    struct iovec iov[4];
    assert_int_equal(outq_peek(&q, iov, 4), 4);
    assert_int_equal(iov[0].iov_len, 7);
    assert_memory_equal(iov[0].iov_base, "3456789", 7);
    outq_drop(&q, &pool, true);
    assert_int_equal(q.ring.count, 1);
    assert_int_equal(q.bytes, 7);
    outq_wrote(&q, &pool, 7);
    assert_null(q.ring.slots);
    assert_int_equal(chunk->refs, 1);
    outq_push(&q, &pool, chunk);
    outq_drop(&q, &pool, true); /* nothing of it is written */
    assert_int_equal(q.bytes, 0);
    assert_int_equal(chunk->refs, 1);
    chunk_unref(chunk);
    outq_pool_deinit(&pool);
}

/* ------------------------------------------------------------------------------------ conn */

/* One connection over a socket pair; the test is the peer. */
struct bench {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct net *net;
    struct conn *conn;
    int peer;
    struct buf got;
    size_t take; /* how much data() takes at once, then it pauses; 0: all */
    int drained, timers, pokes, leaves;
    size_t sipped; /* bytes that the peer has read */
    bool closed;
    enum conn_end end;
};

static size_t on_data(void *arg, struct span bytes)
{
    struct bench *bench = arg;
    if (bench->take > 0 && bench->take < bytes.len) {
        bytes.len = bench->take;
        conn_pause(bench->conn, CONN_PAUSE_SERVICE);
    }
    buf_append(&bench->got, bytes);
    loop_stop(bench->loop);
    return bytes.len;
}

static void on_drained(void *arg)
{
    ((struct bench *)arg)->drained++;
}

static void on_timer(void *arg)
{
    ((struct bench *)arg)->timers++;
    loop_stop(((struct bench *)arg)->loop);
}

static void on_poked(void *arg)
{
    ((struct bench *)arg)->pokes++;
}

static void on_leave(void *arg)
{
    struct bench *bench = arg;
    bench->leaves++;
    conn_finish(bench->conn, 1000);
}

static void on_closed(void *arg, enum conn_end end)
{
    struct bench *bench = arg;
    bench->closed = true;
    bench->end = end;
    bench->conn = NULL;
    loop_stop(bench->loop);
}

static const struct conn_handler handler = {
    .data = on_data,
    .drained = on_drained,
    .timer = on_timer,
    .poked = on_poked,
    .drain = on_leave,
    .closed = on_closed,
    .half_open = true,
};

static int set_up(void **state)
{
    struct bench *bench = mem_zalloc(sizeof(*bench));
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    bench->loop = loop_new();
    bench->wheel = wheel_new(bench->loop);
    bench->net =
        net_new(bench->loop, bench->wheel, &bench->metrics,
                &(struct net_limits){.queue = 1 << 20, .connections = 2, .per_address = 1});
    bench->peer = fds[1];
    bench->conn = conn_new(bench->net, fds[0], &(struct address){.port = 1}, &handler, bench);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    net_free(&bench->net);
    wheel_free(&bench->wheel);
    loop_free(&bench->loop);
    close(bench->peer);
    buf_free(&bench->got);
    free(bench);
    return 0;
}

static void say(struct bench *bench, const char *text)
{
    assert_int_equal(write(bench->peer, text, strlen(text)), strlen(text));
}

/* Turns the loop until the peer has read `len` bytes in all. */
static void read_as_peer(struct bench *bench, struct buf *into, size_t len)
{
    while (into->len < len) {
        ssize_t n = read(bench->peer, buf_room(into, 65536), 65536);
        if (n > 0) {
            buf_grew(into, (size_t)n);
        } else {
            assert_true(n < 0 && errno == EAGAIN);
            conn_set_timer(bench->conn, 1);
            loop_run(bench->loop);
        }
    }
}

static void test_data_comes_in(void **state)
{
    struct bench *bench = *state;
    say(bench, "hello");
    loop_run(bench->loop);
    assert_string_equal(buf_text(&bench->got), "hello");
    assert_int_equal(bench->metrics.value[METRIC_BYTES_IN], 5);
}

static void test_paused_connection_keeps_the_rest(void **state)
{
    struct bench *bench = *state;
    bench->take = 2;
    say(bench, "abcde");
    loop_run(bench->loop);
    assert_string_equal(buf_text(&bench->got), "ab");
    conn_resume(bench->conn, CONN_PAUSE_SERVICE);
    loop_run(bench->loop);
    assert_string_equal(buf_text(&bench->got), "abcd");
    say(bench, "fg"); /* must come after what is kept */
    bench->take = 0;
    conn_resume(bench->conn, CONN_PAUSE_SERVICE);
    while (bench->got.len < 7) {
        loop_run(bench->loop);
    }
    assert_string_equal(buf_text(&bench->got), "abcdefg");
}

/* Another connection's turn: it lets the first one go on, and has something for it. */
static void resume_and_send(void *arg)
{
    struct bench *bench = arg;
    struct chunk *chunk = chunk_copy(SPAN("x"));
    bench->take = 0;
    conn_resume(bench->conn, CONN_PAUSE_SERVICE);
    conn_send(bench->conn, chunk);
    chunk_unref(chunk);
}

static void other_closed(void *arg, enum conn_end end)
{
    (void)arg;
    (void)end;
}

static void test_what_is_kept_comes_first_whoever_resumes_when(void **state)
{
    static const struct conn_handler waker = {
        .data = on_data, .poked = resume_and_send, .closed = other_closed};
    struct bench *bench = *state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct conn *other = conn_new(bench->net, fds[0], &(struct address){.port = 2}, &waker, bench);
    bench->take = 2;
    say(bench, "abcde");
    loop_run(bench->loop);
    say(bench, "fg");
    conn_poke(other);
    while (bench->got.len < 7) {
        loop_run(bench->loop);
    }
    assert_string_equal(buf_text(&bench->got), "abcdefg");
    close(fds[1]);
}

static void test_sends_of_one_turn_are_one_write(void **state)
{
    struct bench *bench = *state;
    struct buf got = {0};
    struct chunk *chunk = chunk_copy(SPAN("0123456789"));
    for (int i = 0; i < 10; i++) {
        assert_int_equal(conn_send(bench->conn, chunk), 0);
    }
    assert_int_equal(chunk->refs, 11);
    read_as_peer(bench, &got, 100);
    assert_int_equal(bench->metrics.value[METRIC_WRITES], 1);
    assert_int_equal(chunk->refs, 1);
    assert_int_equal(bench->drained, 1);
    chunk_unref(chunk);
    buf_free(&got);
}

static void test_queue_is_bounded(void **state)
{
    struct bench *bench = *state;
    struct chunk *chunk = chunk_new(300 * 1024);
    memset(chunk->data, 'x', chunk->len);
    assert_int_equal(conn_send(bench->conn, chunk), 0);
    assert_int_equal(conn_send(bench->conn, chunk), 0);
    assert_int_equal(conn_send(bench->conn, chunk), 0);
    assert_int_equal(conn_send(bench->conn, chunk), -1);
    assert_int_equal(conn_queued(bench->conn), 900 * 1024);
    conn_drop_queue(bench->conn);
    assert_int_equal(conn_queued(bench->conn), 0);
    assert_int_equal(chunk->refs, 1);
    chunk_unref(chunk);
}

static void test_large_queue_gets_through_whole(void **state)
{
    struct bench *bench = *state;
    struct buf got = {0};
    struct chunk *chunk = chunk_new(900 * 1024);
    for (size_t i = 0; i < chunk->len; i++) {
        chunk->data[i] = (char)(i * 31 >> 3);
    }
    assert_int_equal(conn_send(bench->conn, chunk), 0);
    read_as_peer(bench, &got, chunk->len);
    assert_int_equal(got.len, chunk->len);
    assert_memory_equal(got.ptr, chunk->data, chunk->len);
    chunk_unref(chunk);
    buf_free(&got);
}

static void test_finish_writes_all_then_waits_for_the_peer(void **state)
{
    struct bench *bench = *state;
    struct chunk *chunk = chunk_copy(SPAN("bye"));
    char got[8];
    conn_send(bench->conn, chunk);
    chunk_unref(chunk);
    conn_finish(bench->conn, 60000);
    say(bench, "nobody hears this");
    shutdown(bench->peer, SHUT_WR);
    loop_run(bench->loop);
    assert_true(bench->closed);
    assert_int_equal(bench->end, CONN_END_LOCAL);
    assert_int_equal(bench->got.len, 0);
    assert_int_equal(read(bench->peer, got, sizeof(got)), 3);
    assert_int_equal(read(bench->peer, got, sizeof(got)), 0);
}

static void test_finish_lingers_no_longer_than_said(void **state)
{
    struct bench *bench = *state;
    conn_finish(bench->conn, 100);
    loop_run(bench->loop);
    assert_true(bench->closed);
}

/* Reads a little of what waits, now and then. */
static void on_sip(evutil_socket_t fd, short what, void *arg)
{
    static char sip[16 * 1024];
    struct bench *bench = arg;
    (void)fd;
    (void)what;
    ssize_t n = read(bench->peer, sip, sizeof(sip));
    bench->sipped += n > 0 ? (size_t)n : 0;
}

static void test_finish_lasts_while_the_peer_takes_some(void **state)
{
    enum { SIZE = 1024 * 1024 };
    struct bench *bench = *state;
    struct chunk *chunk = chunk_new(SIZE);
    struct timeval every = {.tv_sec = 2}; /* no room in the kernel for longer than is waited */
    struct event *sips = event_new(loop_base(bench->loop), -1, EV_PERSIST, on_sip, bench);
    memset(chunk->data, 'x', SIZE);
    conn_send(bench->conn, chunk);
    chunk_unref(chunk);
    conn_finish(bench->conn, 100);
    event_add(sips, &every);
    loop_run(bench->loop);
    event_free(sips);
    assert_true(bench->closed);
    for (size_t before = 0; before != bench->sipped;) { /* what the kernel has */
        before = bench->sipped;
        on_sip(-1, 0, bench);
    }
    assert_int_equal(bench->sipped, SIZE);
}

static void test_peer_that_half_closes_still_gets_its_answer(void **state)
{
    struct bench *bench = *state;
    struct chunk *chunk = chunk_copy(SPAN("answer"));
    char got[8];
    conn_send(bench->conn, chunk);
    chunk_unref(chunk);
    shutdown(bench->peer, SHUT_WR);
    loop_run(bench->loop);
    assert_true(bench->closed);
    assert_int_equal(read(bench->peer, got, sizeof(got)), 6);
}

static void test_close_is_told_once_and_frees(void **state)
{
    struct bench *bench = *state;
    conn_close(bench->conn);
    conn_close(bench->conn);
    assert_false(bench->closed); /* not inside the call */
    loop_run(bench->loop);
    assert_true(bench->closed);
    bool full;
    assert_int_equal(net_connections(bench->net, &full), 0);
}

static void test_timer_fires_and_is_moved(void **state)
{
    struct bench *bench = *state;
    conn_set_timer(bench->conn, 60000);
    conn_set_timer(bench->conn, 100);
    loop_run(bench->loop);
    assert_int_equal(bench->timers, 1);
}

static void test_net_admits_within_its_limits(void **state)
{
    struct bench *bench = *state;
    struct address other;
    assert_int_equal(address_parse_ip(SPAN("10.0.0.2"), &other), 0);
    assert_false(net_admit(bench->net, conn_peer(bench->conn))); /* one per address */
    assert_true(net_admit(bench->net, &other));
    assert_int_equal(bench->metrics.value[METRIC_CONNS_REFUSED], 1);
}

static void on_all_gone(void *arg)
{
    loop_stop(((struct bench *)arg)->loop);
    ((struct bench *)arg)->pokes = 100;
}

static void test_drain_asks_then_closes(void **state)
{
    struct bench *bench = *state;
    net_drain(bench->net, 1000, on_all_gone, bench);
    while (bench->pokes != 100) { /* the peer never closes: the end of the drain does */
        loop_run(bench->loop);
    }
    assert_int_equal(bench->leaves, 1);
    assert_true(bench->closed);
}

/* One customer has a whole /64 of IPv6; a proxy comes for many. */
static void test_a_limit_by_address_counts_customers(void **state)
{
    struct cidr_list trusted;
    struct span wrong;
    struct admission admission;
    struct address first, second, other, proxy;
    (void)state;
    assert_int_equal(cidr_list_parse(SPAN("2001:db8:0:1::9"), &trusted, &wrong), 0);
    assert_int_equal(address_parse_ip(SPAN("2001:db8:0:1::1"), &first), 0);
    assert_int_equal(address_parse_ip(SPAN("2001:db8:0:1:ffff::2"), &second), 0);
    assert_int_equal(address_parse_ip(SPAN("2001:db8:0:2::1"), &other), 0);
    assert_int_equal(address_parse_ip(SPAN("2001:db8:0:1::9"), &proxy), 0);
    admission_init(&admission,
                   &(struct net_limits){.connections = 10, .per_address = 1, .trusted = &trusted});
    admission_add(&admission, &proxy);
    assert_true(admission_allows(&admission, &first));
    admission_add(&admission, &first);
    assert_false(admission_allows(&admission, &second));
    assert_true(admission_allows(&admission, &other) && admission_allows(&admission, &proxy));
    admission_remove(&admission, &proxy);
    assert_false(admission_allows(&admission, &second));
    admission_remove(&admission, &first);
    assert_true(admission_allows(&admission, &second));
    admission_deinit(&admission);
    cidr_list_free(&trusted);
}

/* ------------------------------------------------------------------------------------ listener */

static void on_accept(void *arg, int fd, const struct address *peer)
{
    struct bench *bench = arg;
    assert_true(address_is_ipv4(peer));
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    close(fd);
    bench->pokes++;
    loop_stop(bench->loop);
}

static void test_listener_accepts(void **state)
{
    struct bench *bench = *state;
    char error[128];
    struct listener *listener =
        listener_open(bench->net, "127.0.0.1:0", on_accept, bench, error, sizeof(error));
    assert_non_null(listener);
    struct sockaddr_storage addr;
    socklen_t len = address_sockaddr(listener_address(listener), AF_INET, &addr);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&addr, len), 0);
    loop_run(bench->loop);
    assert_int_equal(bench->pokes, 1);
    char text[ADDRESS_TEXT];
    assert_null(listener_open(bench->net, address_text(listener_address(listener), text), on_accept,
                              bench, error, sizeof(error)));
    assert_non_null(strstr(error, text));
    close(client);
    listener_close(&listener);
    assert_null(listener);
}

#define CONN_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_ipv4_is_the_same_mapped_or_not),
        cmocka_unit_test(test_outq_counts_partial_writes),
        CONN_TEST(test_data_comes_in),
        CONN_TEST(test_paused_connection_keeps_the_rest),
        CONN_TEST(test_what_is_kept_comes_first_whoever_resumes_when),
        CONN_TEST(test_sends_of_one_turn_are_one_write),
        CONN_TEST(test_queue_is_bounded),
        CONN_TEST(test_large_queue_gets_through_whole),
        CONN_TEST(test_finish_writes_all_then_waits_for_the_peer),
        CONN_TEST(test_finish_lingers_no_longer_than_said),
        CONN_TEST(test_finish_lasts_while_the_peer_takes_some),
        CONN_TEST(test_peer_that_half_closes_still_gets_its_answer),
        CONN_TEST(test_close_is_told_once_and_frees),
        CONN_TEST(test_timer_fires_and_is_moved),
        CONN_TEST(test_net_admits_within_its_limits),
        CONN_TEST(test_drain_asks_then_closes),
        cmocka_unit_test(test_a_limit_by_address_counts_customers),
        CONN_TEST(test_listener_accepts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
