#include "node/proto/ws.h"
#include "node/proto/deflate.h"
#include "tests/unit/proto/peer.h"

enum { LIMIT = 100000, QUEUE = 1 << 18 };

enum { FIN = 0x80, RSV1 = 0x40, RSV2 = 0x20, RSV3 = 0x10 };
enum { MORE = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

static const struct http_options options = {.header_limit = 4096,
                                            .body_limit = 100,
                                            .request_ms = 5000,
                                            .keep_alive_ms = 5000,
                                            .ws_message_limit = LIMIT};

/* The service: sends back what it gets, and does what it is told to. */
static struct service {
    struct ws *ws;
    struct http_request *waiting;
    int messages, closed, drained;
    bool inside, later;
} service;

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    assert_ptr_equal(arg, &service);
    service.messages++;
    service.inside = true;
    if (span_eq(payload, SPAN("close"))) {
        ws_close(service.ws, WS_POLICY, "as told");
        assert_false(ws_is_open(service.ws));
    } else {
        ws_send(service.ws, kind, payload);
    }
    service.inside = false;
}

static void on_drained(void *arg)
{
    ((struct service *)arg)->drained++;
}

static void on_closed(void *arg)
{
    assert_ptr_equal(arg, &service);
    assert_false(service.inside);
    service.closed++;
}

static const struct ws_handler handler = {
    .message = on_message, .drained = on_drained, .closed = on_closed};

static void serve(void *arg, struct http_request *request)
{
    (void)arg;
    if (service.later) {
        service.waiting = request;
    } else {
        http_reply_field(request, "X-Test", SPAN("yes"));
        service.ws = ws_accept(request, &handler, &service);
    }
}

static int setup(void **state)
{
    struct peer *peer = peer_new(&options, QUEUE, 10);
    http_route_websocket(peer->server, "/", serve, NULL);
    *state = peer;
    return 0;
}

static int teardown(void **state)
{
    peer_free(*state);
    return 0;
}

/* ------------------------------------------------------------------------------------- scripts */

/* What the client sends, and what the server must send in answer, byte for byte. */
struct script {
    struct buf in, out;
};

static void add_frame(struct buf *out, unsigned first, struct span payload, const char *mask)
{
    unsigned char head[10] = {(unsigned char)first};
    size_t wide = payload.len < 126 ? 0 : payload.len < 65536 ? 2 : 8;
    head[1] = (unsigned char)((wide == 0   ? payload.len
                               : wide == 2 ? 126
                                           : 127) |
                              (mask != NULL ? 0x80 : 0));
    for (size_t i = 0; i < wide; i++) {
        head[1 + wide - i] = (unsigned char)(payload.len >> (8 * i));
    }
    buf_append(out, span_of(head, 2 + wide));
    if (mask != NULL) {
        buf_append(out, span_of(mask, 4));
    }
    char *to = buf_room(out, payload.len);
    for (size_t i = 0; i < payload.len; i++) {
        to[i] = (char)(payload.ptr[i] ^ (mask != NULL ? mask[i % 4] : 0));
    }
    buf_grew(out, payload.len);
}

static void client(struct script *script, unsigned first, struct span payload)
{
    add_frame(&script->in, first, payload, "\x12\x34\xab\xcd");
}

static void server(struct script *script, unsigned first, struct span payload)
{
    add_frame(&script->out, first, payload, NULL);
}

/* A close frame: code 0 for none. */
static void add_close(struct buf *out, unsigned code, const char *reason, const char *mask)
{
    struct buf payload = {0};
    unsigned char bytes[2] = {(unsigned char)(code >> 8), (unsigned char)code};
    buf_append(&payload, span_of(bytes, code > 0 ? 2 : 0));
    buf_append(&payload, span_str(reason));
    add_frame(out, FIN | CLOSE, buf_span(&payload), mask);
    buf_free(&payload);
}

static void client_closes(struct script *script, unsigned code, const char *reason)
{
    add_close(&script->in, code, reason, "\x01\x02\x03\x04");
}

static void server_closes(struct script *script, unsigned code, const char *reason)
{
    add_close(&script->out, code, reason, NULL);
}

#define SHAKE                                                                                      \
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\n";

static size_t end_of_head(struct peer *peer)
{
    const char *end = strstr(buf_text(&peer->got), "\r\n\r\n");
    assert_non_null(end);
    assert_memory_equal(peer->got.ptr, answer, sizeof answer - 1);
    return (size_t)(end + 4 - peer->got.ptr);
}

static void shake(struct peer *peer, const char *request)
{
    peer_connect(peer);
    service = (struct service){0};
    peer_send(peer, span_str(request), 0);
    buf_consume(&peer->got, end_of_head(peer));
}

static void expect_got(struct peer *peer, struct span want, size_t piece)
{
    if (!span_eq(buf_span(&peer->got), want)) {
        fail_msg("in pieces of %zu: got %zu bytes \"%.*s\", wanted %zu \"%.*s\"", piece,
                 peer->got.len, SPAN_ARG(buf_span(&peer->got)), want.len, SPAN_ARG(want));
    }
}

/* Plays the script in pieces of several sizes, and in one read together with the handshake. */
static void play(struct peer *peer, struct script *script, const char *request, bool closed)
{
    static const size_t pieces[] = {0, 1, 2, 3, 7, 4096, 5000};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        size_t piece = script->in.len < 20000 || pieces[i] > 1000 ? pieces[i] : 997;
        shake(peer, request);
        peer_send(peer, buf_span(&script->in), piece);
        expect_got(peer, buf_span(&script->out), piece);
        assert_int_equal(peer->eof, closed);
        assert_int_equal(service.closed, closed);
    }
    struct buf all = {0};
    buf_append(&all, span_str(request));
    buf_append(&all, buf_span(&script->in));
    peer_connect(peer);
    service = (struct service){0};
    peer_send(peer, buf_span(&all), 0);
    buf_consume(&peer->got, end_of_head(peer));
    expect_got(peer, buf_span(&script->out), 0);
    assert_int_equal(peer->eof, closed);
    buf_free(&all);
    buf_free(&script->in);
    buf_free(&script->out);
}

/* What follows the first fault must not count. */
static void expect_fault(struct peer *peer, struct script *script, unsigned code,
                         const char *reason)
{
    client(script, FIN | TEXT, SPAN("too late"));
    server_closes(script, code, reason);
    play(peer, script, SHAKE DEFLATE "\r\n", true);
    assert_true(peer->metrics.value[METRIC_WS_PROTOCOL_ERRORS] > 0);
}

/* --------------------------------------------------------------------------------------- tests */

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
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
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
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        client(&script, FIN | reserved[i], SPAN("x"));
        expect_fault(peer, &script, 1002, "reserved opcode");
    }
    static const unsigned bits[] = {FIN | RSV2 | TEXT, FIN | RSV3 | TEXT, FIN | RSV1 | RSV2 | TEXT,
                                    FIN | RSV1 | PING, FIN | RSV2 | PONG, FIN | RSV1 | CLOSE};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        client(&script, bits[i], SPAN("x"));
        expect_fault(peer, &script, 1002, "reserved bits are set");
    }
    client(&script, RSV1 | TEXT, SPAN("x"));
    client(&script, FIN | RSV1 | MORE, SPAN("x"));
    expect_fault(peer, &script, 1002, "reserved bits are set");
    client(&script, PING, SPAN("x"));
    expect_fault(peer, &script, 1002, "malformed frame");
    char long_ping[126] = {0};
    client(&script, FIN | PING, span_of(long_ping, sizeof long_ping));
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

static void test_the_peer_closes(void **state)
{
    struct peer *peer = *state;
    struct script script = {0};
    static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009,
                                    1010, 1011, 1012, 1013, 1014, 3000, 4999};
    static const unsigned bad[] = {1,    999,  1004, 1005, 1006, 1015,
                                   1016, 1100, 2000, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        client_closes(&script, good[i], "bye \xe2\x82\xac");
        server_closes(&script, good[i], NULL);
        client(&script, FIN | PING, SPAN("after it nothing counts"));
        play(peer, &script, SHAKE "\r\n", true);
        assert_int_equal(service.messages, 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
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
    ws_send(service.ws, WS_TEXT, SPAN("let fall"));
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
        client(&script, FIN | PING, span_of(payload, sizeof payload));
    }
    shake(peer, SHAKE "\r\n");
    int fd = peer->fd, small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_handshake),
        TEST(test_accept_later),
        TEST(test_messages),
        TEST(test_fragments),
        TEST(test_ten_pings_ten_pongs),
        TEST(test_deflated),
        TEST(test_faults),
        TEST(test_bad_text),
        TEST(test_too_big),
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
