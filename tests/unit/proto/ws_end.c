/* SPDX-License-Identifier: MIT */
/* How a WebSocket ends, which peer is too slow for it, and how it shares the loop. */
#include "node/net/net.h"
#include "node/proto/ws/deflate.h"
#include "tests/unit/proto/ws_script.h"

static void test_the_peer_closes(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009,
                                    1010, 1011, 1012, 1013, 1014, 3000, 4999};
    static const unsigned bad[] = {1,    999,  1004, 1005, 1006, 1015,
                                   1016, 1100, 2000, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        client_closes(&script, good[i], "bye \xe2\x82\xac");
        server_closes(&script, good[i], NULL);
        client(&script, FIN | PING, SPAN("after it nothing counts"));
        play(peer, &script, SHAKE "\r\n", true);
        assert_int_equal(service.messages, 0);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        client_closes(&script, bad[i], "");
        expect_fault(peer, &script, 1002, "malformed close frame");
    }
    client_closes(&script, 0, NULL);
    server_closes(&script, 0, NULL);
    play(peer, &script, SHAKE "\r\n", true);
    client(&script, FIN | CLOSE, SPAN("\x03"));
    expect_fault(peer, &script, 1002, "malformed close frame");
    client_closes(&script, 1000, "\xff");
    expect_fault(peer, &script, 1007, "a close reason must be UTF-8");
}

static void test_the_service_closes(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    client(&script, FIN | TEXT, SPAN("close"));
    server_closes(&script, 1008, "as told");
    client(&script, FIN | TEXT, SPAN("not seen any more"));
    client(&script, FIN | PING, SPAN("nor this"));
    client(&script, MORE, SPAN("and faults are forgiven"));
    client(&script, FIN | BINARY, SPAN("\xff"));
    for (size_t piece = 0; piece < 3; piece++) {
        shake(peer, SHAKE "\r\n");
        peer_send(peer, buf_span(&script.in), piece);
        expect_got(peer, buf_span(&script.out), piece);
        assert_int_equal(service.messages, 1);
        assert_int_equal(service.closed, 1);
        assert_false(peer->eof); /* it waits for the peer's close */
        struct script last = {0};
        client_closes(&last, 1008, "as told");
        peer_send(peer, buf_span(&last.in), piece);
        assert_true(peer->eof);
        expect_got(peer, buf_span(&script.out), piece);
        assert_int_equal(service.closed, 1);
        buf_free(&last.in);
    }
    buf_free(&script.in);
    buf_free(&script.out);
}

static void test_a_reason_is_cut_between_characters(void **state)
{
    struct peer *peer = *state;
    char reason[131] = {0};
    memset(reason, 'a', 122);
    memcpy(reason + 122, "\xe2\x82\xac", 4);
    shake(peer, SHAKE "\r\n");
    ws_close(service.ws, WS_NORMAL, reason);
    ws_close(service.ws, WS_NORMAL, "a second time");
    ws_send(service.ws, WS_TEXT, SPAN("dropped"));
    peer_settle(peer);
    assert_int_equal(peer->got.len, 2 + 2 + 122);
    assert_int_equal(service.closed, 1);
}

static void test_the_peer_vanishes(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    client(&script, TEXT, SPAN("the beginning of"));
    client(&script, MORE, SPAN("half a fra"));
    for (size_t cut = 0; cut < script.in.len; cut++) {
        shake(peer, SHAKE "\r\n");
        peer_send(peer, span_of(script.in.ptr, cut), 0);
        assert_int_equal(service.closed, 0);
        peer_leave(peer);
        assert_int_equal(service.closed, 1);
        assert_int_equal(service.messages, 0);
    }
    assert_int_equal(peer->metrics.value[METRIC_WS], 0);
    buf_free(&script.in);
}

static void test_a_slow_reader_is_closed(void **state)
{
    struct peer *peer = *state;
    char *bytes = mem_zalloc(QUEUE / 2);
    shake(peer, SHAKE "\r\n");
    int fd = peer->fd;
    peer->fd = -1; /* turns without reading */
    for (int i = 0; i < 20 && ws_is_open(service.ws); i++) {
        ws_send(service.ws, WS_BINARY, span_of(bytes, QUEUE / 2));
        peer_settle(peer);
        assert_true(!ws_is_open(service.ws) || conn_queued(ws_conn(service.ws)) <= QUEUE);
    }
    assert_int_equal(service.closed, 1);
    assert_int_equal(peer->metrics.value[METRIC_WS_OVERFLOWS], 1);
    peer->fd = fd;
    peer_settle(peer);
    struct script script = {0};
    server_closes(&script, 1013, "reading too slowly");
    assert_true(peer->got.len > script.out.len);
    assert_memory_equal(peer->got.ptr + peer->got.len - script.out.len, script.out.ptr,
                        script.out.len);
    buf_free(&script.out);
    free(bytes);
}

static void test_unread_pongs_do_not_pile_up(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    char payload[125] = {0}, *bytes = mem_zalloc(QUEUE);
    for (int i = 0; i < 500; i++) {
        payload[0] = (char)(i % 10);
        client(&script, FIN | PING, span_of(payload, sizeof(payload)));
    }
    shake(peer, SHAKE "\r\n");
    int fd = peer->fd, small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    ws_send(service.ws, WS_BINARY, span_of(bytes, QUEUE - 1000));
    for (int i = 0; i < 20; i++) {
        assert_true(send(fd, script.in.ptr, script.in.len, MSG_NOSIGNAL) > 0);
        peer->fd = -1;
        peer_settle(peer);
        peer->fd = fd;
        assert_true(ws_is_open(service.ws) || peer->metrics.value[METRIC_WS_OVERFLOWS] == 0);
    }
    peer_settle(peer);
    assert_true(ws_is_open(service.ws));
    assert_int_equal(peer->got.ptr[peer->got.len - 125], 9); /* the last one is answered */
    buf_free(&script.in);
    free(bytes);
}

static void test_much_work_is_spread_over_turns(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    struct buf squeezed = {0};
    char *bytes = mem_zalloc(LIMIT);
    deflate_message(span_of(bytes, LIMIT), &squeezed);
    for (int i = 0; i < 200; i++) { /* 20 MB, in 30 KB */
        client(&script, FIN | RSV1 | BINARY, buf_span(&squeezed));
    }
    shake(peer, SHAKE DEFLATE "\r\n");
    peer_write(peer, buf_span(&script.in));
    int most = 0, before = 0;
    for (int i = 0; i < 100; i++) {
        peer_turn(peer);
        most = service.messages - before > most ? service.messages - before : most;
        before = service.messages;
    }
    assert_int_equal(service.messages, 200);
    assert_in_range(most, 1, 30);
    buf_free(&script.in);
    buf_free(&squeezed);
    free(bytes);
}

static void test_idle(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    shake(peer, SHAKE "\r\n");
    ws_set_idle(service.ws, 100);
    uint64_t end = clock_monotonic_ms() + 2000;
    while (peer->got.len == 0 && clock_monotonic_ms() < end) {
        peer_turn(peer);
        usleep(1000);
    }
    server_closes(&script, 1001, "idle for too long");
    expect_got(peer, buf_span(&script.out), 0);
    buf_free(&script.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_peer_closes),
        TEST(test_the_service_closes),
        TEST(test_a_reason_is_cut_between_characters),
        TEST(test_the_peer_vanishes),
        TEST(test_a_slow_reader_is_closed),
        TEST(test_unread_pongs_do_not_pile_up),
        TEST(test_much_work_is_spread_over_turns),
        TEST(test_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
