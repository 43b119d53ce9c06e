/* SPDX-License-Identifier: MIT */
/* What a WebSocket takes and what it refuses: the handshake, frames, messages. */
#include "node/net/net.h"
#include "node/proto/ws/deflate.h"
#include "tests/unit/proto/ws_script.h"

static void test_handshake(void **state)
{
    struct peer *peer = *state;
    peer_connect(peer);
    peer_send(peer, SPAN(SHAKE "\r\n"), 1);
    const char *got = buf_text(&peer->got);
    assert_non_null(strstr(got, "\r\nUpgrade: websocket\r\n"));
    assert_non_null(strstr(got, "\r\nConnection: Upgrade\r\n"));
    assert_non_null(strstr(
        got, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")); /* RFC 6455, 1.3 */
    assert_non_null(strstr(got, "\r\nX-Test: yes\r\n"));
    assert_null(strstr(got, "Extensions"));
    assert_null(strstr(got, "Content-Length"));
    assert_false(ws_deflates(service.ws));
    assert_int_equal(peer->metrics.value[METRIC_WS], 1);
    peer_connect(peer);
    assert_int_equal(peer->metrics.value[METRIC_WS], 0);
    peer_send(peer, SPAN(SHAKE DEFLATE "\r\n"), 0);
    assert_non_null(strstr(buf_text(&peer->got),
                           "\r\nSec-WebSocket-Extensions: permessage-deflate; "
                           "server_no_context_takeover; "
                           "client_no_context_takeover\r\n"));
    assert_true(ws_deflates(service.ws));
}

static void test_accept_later(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    client(&script, FIN | TEXT, SPAN("early"));
    server(&script, FIN | TEXT, SPAN("early"));
    peer_connect(peer);
    service = (struct service){.later = true};
    peer_send(peer, SPAN(SHAKE "\r\n"), 0);
    peer_send(peer, buf_span(&script.in), 1);
    assert_int_equal(peer->got.len, 0);
    service.ws = ws_accept(service.waiting, &handler, &service);
    peer_settle(peer);
    buf_consume(&peer->got, end_of_head(peer));
    expect_got(peer, buf_span(&script.out), 1);
    buf_free(&script.in);
    buf_free(&script.out);
}

static void test_messages(void **state)
{
    struct peer *peer = *state;
    static const size_t sizes[] = {0,    1,    125,  126,   127,   4080,
                                   4090, 4096, 4097, 65535, 65536, LIMIT};
    struct script script = {0};
    char *bytes = mem_zalloc(LIMIT);
    for (size_t i = 0; i < LIMIT; i++) {
        bytes[i] = (char)(i * 7 + i / 251);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        client(&script, FIN | BINARY, span_of(bytes, sizes[i]));
        server(&script, FIN | BINARY, span_of(bytes, sizes[i]));
        client(&script, FIN | TEXT, SPAN("\xe2\x82\xac"));
        server(&script, FIN | TEXT, SPAN("\xe2\x82\xac"));
    }
    play(peer, &script, SHAKE "\r\n", false);
    assert_int_equal(service.messages, 24);
    free(bytes);
}

static void test_fragments(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    client(&script, TEXT, SPAN("a\xe2\x82"));
    client(&script, FIN | PING, SPAN("between"));
    server(&script, FIN | PONG, SPAN("between"));
    client(&script, MORE, SPAN(""));
    client(&script, MORE, SPAN("\xac"));
    client(&script, FIN | PONG, SPAN("unasked"));
    client(&script, FIN | MORE, SPAN("b"));
    server(&script, FIN | TEXT,
           SPAN("a\xe2\x82\xac"
                "b"));
    client(&script, BINARY, SPAN(""));
    client(&script, FIN | MORE, SPAN(""));
    server(&script, FIN | BINARY, SPAN(""));
    client(&script, FIN | PING, SPAN(""));
    server(&script, FIN | PONG, SPAN(""));
    play(peer, &script, SHAKE "\r\n", false);
}

static void test_ten_pings_ten_pongs(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    for (char i = '0'; i <= '9'; i++) {
        client(&script, FIN | PING, span_of(&i, 1));
        server(&script, FIN | PONG, span_of(&i, 1));
    }
    play(peer, &script, SHAKE "\r\n", false);
}

/* A service that looks at a long message as it comes sees each byte before the last, once there is more than a read. */
static void test_parts(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    char bytes[1000];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)('a' + i % 26);
    }
    client(&script, TEXT, span_of(bytes, 500)); /* 4 + 4 bytes of head */
    client(&script, FIN | MORE, span_of(bytes + 500, 500));
    shake(peer, SHAKE "\r\n");
    peer_send(peer, buf_span(&script.in), 100);
    assert_int_equal(service.messages, 1);
    assert_int_equal(service.parts, 10);
    peer_send(peer, buf_span(&script.in), 0);
    assert_int_equal(service.messages, 2);
    assert_int_equal(service.parts, 10); /* whole in one read */
    buf_free(&script.in);
    buf_free(&script.out);
    struct buf squeezed = {0};
    deflate_message(span_of(bytes, sizeof(bytes)), &squeezed);
    client(&script, FIN | RSV1 | TEXT, buf_span(&squeezed));
    shake(peer, SHAKE DEFLATE "\r\n");
    peer_send(peer, buf_span(&script.in), 10);
    assert_int_equal(service.messages, 1);
    assert_int_equal(service.parts, 0); /* these are not its bytes */
    buf_free(&squeezed);
    buf_free(&script.in);
    buf_free(&script.out);
}

static void test_deflated(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    struct buf text = {0}, squeezed = {0};
    for (int i = 0; i < 4000; i++) {
        buf_printf(&text, "line %d ", i);
    }
    deflate_message(buf_span(&text), &squeezed);
    client(&script, FIN | RSV1 | TEXT, buf_span(&squeezed));
    server(&script, FIN | RSV1 | TEXT,
           buf_span(&squeezed)); /* the same stream makes the same bytes */
    client(&script, RSV1 | TEXT, span_of(squeezed.ptr, 10));
    client(&script, FIN | PING, SPAN("x"));
    server(&script, FIN | PONG, SPAN("x"));
    client(&script, FIN | MORE, span_skip(buf_span(&squeezed), 10));
    server(&script, FIN | RSV1 | TEXT, buf_span(&squeezed));
    client(&script, FIN | TEXT, buf_span(&text)); /* one need not, even when it was agreed */
    server(&script, FIN | RSV1 | TEXT, buf_span(&squeezed));
    client(&script, FIN | RSV1 | TEXT, SPAN("\xf2\x48\xcd\xc9\xc9\x07\x00"));
    server(&script, FIN | TEXT, SPAN("Hello")); /* too short to pay */
    client(&script, FIN | RSV1 | BINARY, SPAN("\x00"));
    server(&script, FIN | BINARY, SPAN(""));
    play(peer, &script, SHAKE DEFLATE "\r\n", false);
    buf_free(&text);
    buf_free(&squeezed);
}

static void test_faults(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    static const unsigned reserved[] = {3, 4, 5, 6, 7, 11, 12, 13, 14, 15};
    for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++) {
        client(&script, FIN | reserved[i], SPAN("x"));
        expect_fault(peer, &script, 1002, "reserved opcode");
    }
    static const unsigned bits[] = {FIN | RSV2 | TEXT, FIN | RSV3 | TEXT, FIN | RSV1 | RSV2 | TEXT,
                                    FIN | RSV1 | PING, FIN | RSV2 | PONG, FIN | RSV1 | CLOSE};
    for (size_t i = 0; i < sizeof(bits) / sizeof(*bits); i++) {
        client(&script, bits[i], SPAN("x"));
        expect_fault(peer, &script, 1002, "reserved bits are set");
    }
    client(&script, RSV1 | TEXT, SPAN("x"));
    client(&script, FIN | RSV1 | MORE, SPAN("x"));
    expect_fault(peer, &script, 1002, "reserved bits are set");
    client(&script, PING, SPAN("x"));
    expect_fault(peer, &script, 1002, "malformed frame");
    char long_ping[126] = {0};
    client(&script, FIN | PING, span_of(long_ping, sizeof(long_ping)));
    expect_fault(peer, &script, 1002, "malformed frame");
    client(&script, FIN | MORE, SPAN("x"));
    expect_fault(peer, &script, 1002, "nothing to continue");
    client(&script, TEXT, SPAN("x"));
    client(&script, FIN | TEXT, SPAN("x"));
    expect_fault(peer, &script, 1002, "continuation expected");
    add_frame(&script.in, FIN | TEXT, SPAN("unmasked"), NULL);
    expect_fault(peer, &script, 1002, "frames must be masked");
    buf_append(&script.in,
               SPAN("\x82\xfe\x00\x05\0\0\0\0hello")); /* a length longer than need be */
    expect_fault(peer, &script, 1002, "malformed frame");
    buf_append(&script.in, SPAN("\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0x"));
    expect_fault(peer, &script, 1002, "malformed frame");
    buf_append(&script.in, SPAN("\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0x"));
    expect_fault(peer, &script, 1002, "malformed frame");
    /* Without the extension RSV1 means nothing. */
    client(&script, FIN | RSV1 | TEXT, SPAN("\x00"));
    server_closes(&script, 1002, "reserved bits are set");
    play(peer, &script, SHAKE "\r\n", true);
}

static void test_bad_text(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    client(&script, FIN | TEXT, SPAN("\xce\xba\xed\xa0\x80"));
    expect_fault(peer, &script, 1007, "text must be UTF-8");
    client(&script, FIN | TEXT, SPAN("\xe2\x82"));
    expect_fault(peer, &script, 1007, "text must be UTF-8");
    client(&script, TEXT, SPAN("\xf4"));
    client(&script, MORE, SPAN("\x90")); /* it fails at once, not when the message ends */
    expect_fault(peer, &script, 1007, "text must be UTF-8");
    struct buf squeezed = {0};
    deflate_message(SPAN("\xff"), &squeezed);
    client(&script, FIN | RSV1 | TEXT, buf_span(&squeezed));
    expect_fault(peer, &script, 1007, "text must be UTF-8");
    client(&script, FIN | RSV1 | TEXT, SPAN("\xff\xff\xff"));
    expect_fault(peer, &script, 1007, "broken deflate data");
    buf_free(&squeezed);
}

static void test_too_big(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    struct buf squeezed = {0};
    char *bytes = mem_zalloc(LIMIT + 1);
    client(&script, FIN | BINARY, span_of(bytes, LIMIT + 1));
    expect_fault(peer, &script, 1009, "the message is too big");
    client(&script, BINARY, span_of(bytes, LIMIT));
    client(&script, FIN | MORE, SPAN("x"));
    expect_fault(peer, &script, 1009, "the message is too big");
    /* Its header and one byte suffice. */
    buf_append(&script.in, SPAN("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x"));
    expect_fault(peer, &script, 1009, "the message is too big");
    deflate_message(span_of(bytes, LIMIT + 1), &squeezed);
    client(&script, FIN | RSV1 | BINARY, buf_span(&squeezed));
    expect_fault(peer, &script, 1009, "the message is too big");
    squeezed.len = 0;
    deflate_message(span_of(bytes, LIMIT), &squeezed);
    client(&script, FIN | RSV1 | BINARY, buf_span(&squeezed));
    server(&script, FIN | RSV1 | BINARY, buf_span(&squeezed));
    play(peer, &script, SHAKE DEFLATE "\r\n", false);
    buf_free(&squeezed);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_handshake),
        TEST(test_accept_later),
        TEST(test_messages),
        TEST(test_fragments),
        TEST(test_ten_pings_ten_pongs),
        TEST(test_parts),
        TEST(test_deflated),
        TEST(test_faults),
        TEST(test_bad_text),
        TEST(test_too_big),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
