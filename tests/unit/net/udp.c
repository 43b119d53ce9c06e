/* SPDX-License-Identifier: MIT */
#include "node/net/udp.h"
#include "node/net/net.h"
#include "store/base/buf.h"
#include "tests/unit/cmocka_all.h"

#include <unistd.h>

/* Two sockets on loopback: what `from` sends, `to` gets. */
struct pair {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct net *net;
    struct udp *from, *to;
    unsigned wanted, got; /* datagrams; the loop stops when all are there */
    size_t bytes, largest;
    bool close_at_first;
};

static void on_nothing(void *arg, const struct udp_path *path, struct span bytes)
{
    (void)arg, (void)path, (void)bytes;
}

static void on_datagram(void *arg, const struct udp_path *path, struct span bytes)
{
    struct pair *pair = arg;
    assert_true(address_eq(&path->peer, udp_address(pair->from)));
    assert_true(address_eq(&path->here, udp_address(pair->to)));
    pair->got++;
    pair->bytes += bytes.len;
    pair->largest = bytes.len > pair->largest ? bytes.len : pair->largest;
    if (pair->close_at_first) {
        udp_close(&pair->to);
        assert_null(pair->to);
    }
    if (pair->got == pair->wanted) {
        loop_stop(pair->loop);
    }
}

static struct udp *open_one(struct pair *pair, const char *bind, udp_fn *fn)
{
    char error[128];
    struct udp *udp = udp_open(pair->net, bind, fn, pair, error, sizeof(error));
    assert_non_null(udp);
    return udp;
}

static int set_up(void **state)
{
    struct pair *pair = mem_zalloc(sizeof(*pair));
    pair->loop = loop_new();
    pair->wheel = wheel_new(pair->loop);
    pair->net = net_new(pair->loop, pair->wheel, &pair->metrics,
                        &(struct net_limits){.queue = 4096, .connections = 4});
    pair->from = open_one(pair, "127.0.0.1:0", on_nothing);
    pair->to = open_one(pair, "127.0.0.1:0", on_datagram);
    *state = pair;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *pair = *state;
    udp_close(&pair->from);
    udp_close(&pair->to);
    net_free(&pair->net);
    wheel_free(&pair->wheel);
    loop_free(&pair->loop);
    free(pair);
    return 0;
}

static int send_one(struct pair *pair, size_t len)
{
    struct chunk *chunk = chunk_new(len);
    memset(chunk->data, 'x', len);
    int sent = udp_send(pair->from, &(struct udp_path){.peer = *udp_address(pair->to)}, chunk);
    assert_int_equal(chunk->refs, sent == 0 ? 2 : 1);
    chunk_unref(chunk);
    return sent;
}

static void test_datagrams_arrive_one_by_one(void **state)
{
    struct pair *pair = *state;
    pair->wanted = 150; /* more than one batch */
    for (unsigned i = 0; i < pair->wanted; i++) {
        assert_int_equal(send_one(pair, i), 0);
    }
    loop_run(pair->loop);
    assert_int_equal(pair->got, 150);
    assert_int_equal(pair->bytes, 150 * 149 / 2);
    assert_int_equal(pair->metrics.value[METRIC_UDP_OUT], 150);
    assert_int_equal(pair->metrics.value[METRIC_UDP_IN], 150);
    assert_true(pair->metrics.value[METRIC_WRITES] <= 4);
}

static void test_bursts_of_one_length_keep_their_edges(void **state)
{
    struct pair *pair = *state;
    pair->wanted = 300; /* of three lengths, in rows longer than a piece */
    for (unsigned i = 0; i < pair->wanted; i++) {
        assert_int_equal(send_one(pair, i < 100 ? 40 : i < 200 ? 90 : 20), 0);
    }
    loop_run(pair->loop);
    assert_int_equal(pair->got, 300);
    assert_int_equal(pair->bytes, 100 * 40 + 100 * 90 + 100 * 20);
    assert_int_equal(pair->largest, 90);
    assert_int_equal(pair->metrics.value[METRIC_UDP_OUT], 300);
    assert_int_equal(pair->metrics.value[METRIC_UDP_IN], 300);
}

static void test_one_without_bytes_is_one(void **state)
{
    struct pair *pair = *state;
    static const size_t lens[] = {30, 0, 30, 30, 10, 0, 0, 30};
    pair->wanted = sizeof(lens) / sizeof(*lens);
    for (unsigned i = 0; i < pair->wanted; i++) {
        assert_int_equal(send_one(pair, lens[i]), 0);
    }
    loop_run(pair->loop);
    assert_int_equal(pair->got, pair->wanted);
    assert_int_equal(pair->bytes, 130);
}

static void test_large_ones_are_not_joined(void **state)
{
    struct pair *pair = *state;
    pair->wanted = 20;
    for (unsigned i = 0; i < pair->wanted; i++) {
        assert_int_equal(send_one(pair, 9000), 0);
    }
    loop_run(pair->loop);
    assert_int_equal(pair->bytes, 20 * 9000);
    assert_int_equal(pair->largest, 9000);
}

static void test_a_burst_that_cannot_go_does_not_stop_the_rest(void **state)
{
    struct pair *pair = *state;
    struct chunk *chunk = chunk_copy(SPAN("x"));
    struct udp_path nowhere = {0};
    pair->wanted = 3;
    assert_int_equal(address_parse_ip(SPAN("255.255.255.255"), &nowhere.peer), 0);
    nowhere.peer.port = 9; /* broadcast was not asked for: EACCES */
    for (int i = 0; i < 5; i++) {
        assert_int_equal(udp_send(pair->from, &nowhere, chunk), 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send_one(pair, 5), 0);
    }
    chunk_unref(chunk);
    loop_run(pair->loop);
    assert_int_equal(pair->bytes, 15);
    assert_int_equal(pair->metrics.value[METRIC_UDP_DROPPED], 5);
}

static void test_the_largest_is_neither_split_nor_cut(void **state)
{
    struct pair *pair = *state;
    pair->wanted = 1;
    assert_int_equal(send_one(pair, UDP_LARGEST + 1), -1);
    assert_int_equal(pair->metrics.value[METRIC_UDP_DROPPED], 1);
    assert_int_equal(send_one(pair, UDP_LARGEST), 0);
    loop_run(pair->loop);
    assert_int_equal(pair->largest, UDP_LARGEST);
}

static void test_queue_is_bounded(void **state)
{
    struct pair *pair = *state;
    int sent = 0;
    for (int i = 0; i < 1000; i++) {
        sent += send_one(pair, 60000) == 0 ? 1 : 0;
    }
    assert_in_range(sent, 100, 200);
    assert_int_equal(pair->metrics.value[METRIC_UDP_DROPPED], 1000 - sent);
}

static void test_one_that_cannot_go_does_not_stop_the_rest(void **state)
{
    struct pair *pair = *state;
    struct chunk *chunk = chunk_copy(SPAN("x"));
    struct udp_path nowhere = {0};
    pair->wanted = 1;
    assert_int_equal(address_parse_ip(SPAN("2001:db8::1"), &nowhere.peer), 0);
    assert_int_equal(udp_send(pair->from, &nowhere, chunk), -1);
    assert_int_equal(address_parse_ip(SPAN("255.255.255.255"), &nowhere.peer), 0);
    nowhere.peer.port = 9; /* broadcast was not asked for: EACCES */
    assert_int_equal(udp_send(pair->from, &nowhere, chunk), 0);
    assert_int_equal(send_one(pair, 5), 0);
    chunk_unref(chunk);
    loop_run(pair->loop);
    assert_int_equal(pair->bytes, 5);
    assert_int_equal(pair->metrics.value[METRIC_UDP_DROPPED], 2);
}

/* A socket on all addresses, asked at several of them. */
struct everywhere {
    struct loop *loop;
    struct udp *udp;
    int asker;
    char heard[64]; /* addresses that answers came from, as text */
};

static void on_question(void *arg, const struct udp_path *path, struct span bytes)
{
    struct everywhere *all = arg;
    struct chunk *chunk = chunk_copy(bytes);
    struct udp_path stale = *path;
    stale.here.ip[15] = 77;
    stale.here.ip[12] = 192; /* an address that is not of this host */
    assert_int_equal(path->here.port, udp_address(all->udp)->port);
    assert_int_equal(udp_send(all->udp, span_eq(bytes, SPAN("stale")) ? &stale : path, chunk), 0);
    chunk_unref(chunk);
    loop_stop(all->loop);
}

/* What came back, from where. */
static void ask_at(struct everywhere *all, const char *ip, const char *question)
{
    struct address to;
    struct sockaddr_storage addr;
    socklen_t len;
    char answer[16];
    assert_int_equal(address_parse_ip(span_str(ip), &to), 0);
    to.port = udp_address(all->udp)->port;
    len = address_sockaddr(&to, AF_INET, &addr);
    assert_true(sendto(all->asker, question, strlen(question), 0, (struct sockaddr *)&addr, len) >
                0);
    loop_run(all->loop);
    len = sizeof(addr);
    assert_int_equal(
        recvfrom(all->asker, answer, sizeof(answer), 0, (struct sockaddr *)&addr, &len),
        strlen(question));
    to = address_of((struct sockaddr *)&addr);
    address_ip_text(&to, all->heard);
}

static void answer_from_where_it_was_asked(struct pair *pair, const char *bind)
{
    struct everywhere all = {.loop = pair->loop};
    char error[128];
    all.asker = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    all.udp = udp_open(pair->net, bind, on_question, &all, error, sizeof(error));
    assert_non_null(all.udp);
    ask_at(&all, "127.0.0.1", "one");
    assert_string_equal(all.heard, "127.0.0.1");
    ask_at(&all, "127.5.6.7", "other");
    assert_string_equal(all.heard, "127.5.6.7");
    ask_at(&all, "127.5.6.7", "stale");
    assert_string_not_equal(all.heard, "192.5.6.77");
    udp_close(&all.udp);
    close(all.asker);
}

static void test_an_answer_leaves_from_the_address_that_was_asked(void **state)
{
    answer_from_where_it_was_asked(*state, "0.0.0.0:0");
    answer_from_where_it_was_asked(*state, "[::]:0");
}

static void test_may_be_closed_inside_its_callback(void **state)
{
    struct pair *pair = *state;
    pair->close_at_first = true;
    pair->wanted = 1;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(send_one(pair, 1), 0);
    }
    loop_run(pair->loop);
    assert_int_equal(pair->got, 1);
    assert_null(pair->to);
}

static void test_close_writes_what_is_queued(void **state)
{
    struct pair *pair = *state;
    for (int i = 0; i < 3; i++) {
        send_one(pair, 1);
    }
    udp_close(&pair->from);
    assert_int_equal(pair->metrics.value[METRIC_UDP_OUT], 3);
    udp_close(&pair->from); /* harmless */
}

static void test_a_taken_port_is_named(void **state)
{
    struct pair *pair = *state;
    char text[ADDRESS_TEXT], error[128];
    address_text(udp_address(pair->to), text);
    assert_null(udp_open(pair->net, text, on_nothing, NULL, error, sizeof(error)));
    assert_non_null(strstr(error, text));
    assert_null(udp_open(pair->net, "nowhere", on_nothing, NULL, error, sizeof(error)));
}

#define UDP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UDP_TEST(test_datagrams_arrive_one_by_one),
        UDP_TEST(test_bursts_of_one_length_keep_their_edges),
        UDP_TEST(test_one_without_bytes_is_one),
        UDP_TEST(test_large_ones_are_not_joined),
        UDP_TEST(test_a_burst_that_cannot_go_does_not_stop_the_rest),
        UDP_TEST(test_the_largest_is_neither_split_nor_cut),
        UDP_TEST(test_queue_is_bounded),
        UDP_TEST(test_one_that_cannot_go_does_not_stop_the_rest),
        UDP_TEST(test_an_answer_leaves_from_the_address_that_was_asked),
        UDP_TEST(test_may_be_closed_inside_its_callback),
        UDP_TEST(test_close_writes_what_is_queued),
        UDP_TEST(test_a_taken_port_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
