/* SPDX-License-Identifier: MIT */
/* A WebSocket service over a socket pair, and scripts: what the client sends, and byte for byte what
 * must come back. */
#ifndef MUSTER_TESTS_UNIT_PROTO_WS_SCRIPT_H
#define MUSTER_TESTS_UNIT_PROTO_WS_SCRIPT_H

#include "node/net/net.h"
#include "node/proto/ws/ws.h"
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
    int parts;
    size_t so_far; /* bytes of the message under way that it was shown, */
    char last;     /* and the last one of them */
    bool inside, later;
} service;

static inline void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    assert_ptr_equal(arg, &service);
    service.messages++;
    if (service.so_far > 0) {
        assert_true(payload.len >= service.so_far &&
                    payload.ptr[service.so_far - 1] == service.last);
        service.so_far = 0;
    }
    service.inside = true;
    if (span_eq(payload, SPAN("close"))) {
        ws_close(service.ws, WS_POLICY, "as told");
        assert_false(ws_is_open(service.ws));
    } else {
        ws_send(service.ws, kind, payload);
    }
    service.inside = false;
}

static inline void on_part(void *arg, enum ws_kind kind, struct span so_far)
{
    assert_ptr_equal(arg, &service);
    assert_true(kind == WS_TEXT || kind == WS_BINARY);
    assert_true(so_far.len >= service.so_far);
    service.so_far = so_far.len;
    service.last = so_far.ptr[so_far.len - 1];
    service.parts++;
}

static inline void on_drained(void *arg)
{
    ((struct service *)arg)->drained++;
}

static inline void on_closed(void *arg)
{
    assert_ptr_equal(arg, &service);
    assert_false(service.inside);
    service.closed++;
}

static const struct ws_handler handler = {
    .message = on_message, .part = on_part, .drained = on_drained, .closed = on_closed};

static inline void serve(void *arg, struct http_request *request)
{
    (void)arg;
    if (service.later) {
        service.waiting = request;
    } else {
        http_reply_field(request, "X-Test", SPAN("yes"));
        service.ws = ws_accept(request, &handler, &service);
    }
}

static inline int setup(void **state)
{
    struct peer *peer = peer_new(&options, QUEUE, 10);
    http_route_websocket(peer->server, "/", serve, NULL);
    *state = peer;
    return 0;
}

static inline int teardown(void **state)
{
    peer_free(*state);
    return 0;
}

/* ------------------------------------------------------------------------------------- scripts */

/* What the client sends, and what the server must send in answer, byte for byte. */
struct script {
    struct buf in, out;
};

static inline void add_frame(struct buf *out, unsigned first, struct span payload, const char *mask)
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

static inline void client(struct script *script, unsigned first, struct span payload)
{
    add_frame(&script->in, first, payload, "\x12\x34\xab\xcd");
}

static inline void server(struct script *script, unsigned first, struct span payload)
{
    add_frame(&script->out, first, payload, NULL);
}

/* A close frame: code 0 for none. */
static inline void add_close(struct buf *out, unsigned code, const char *reason, const char *mask)
{
    struct buf payload = {0};
    unsigned char bytes[2] = {(unsigned char)(code >> 8), (unsigned char)code};
    buf_append(&payload, span_of(bytes, code > 0 ? 2 : 0));
    buf_append(&payload, span_str(reason));
    add_frame(out, FIN | CLOSE, buf_span(&payload), mask);
    buf_free(&payload);
}

static inline void client_closes(struct script *script, unsigned code, const char *reason)
{
    add_close(&script->in, code, reason, "\x01\x02\x03\x04");
}

static inline void server_closes(struct script *script, unsigned code, const char *reason)
{
    add_close(&script->out, code, reason, NULL);
}

#define SHAKE                                                                                      \
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\n";

static inline size_t end_of_head(struct peer *peer)
{
    const char *end = strstr(buf_text(&peer->got), "\r\n\r\n");
    assert_non_null(end);
    assert_memory_equal(peer->got.ptr, answer, sizeof(answer) - 1);
    return (size_t)(end + 4 - peer->got.ptr);
}

static inline void shake(struct peer *peer, const char *request)
{
    peer_connect(peer);
    service = (struct service){0};
    peer_send(peer, span_str(request), 0);
    buf_consume(&peer->got, end_of_head(peer));
}

static inline void expect_got(struct peer *peer, struct span want, size_t piece)
{
    if (!span_eq(buf_span(&peer->got), want)) {
        fail_msg("in pieces of %zu: got %zu bytes \"%.*s\", wanted %zu \"%.*s\"", piece,
                 peer->got.len, SPAN_ARG(buf_span(&peer->got)), want.len, SPAN_ARG(want));
    }
}

/* Plays the script in pieces of several sizes, and in one read together with the handshake. */
static inline void play(struct peer *peer, struct script *script, const char *request, bool closed)
{
    static const size_t pieces[] = {0, 1, 2, 3, 7, 4096, 5000};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
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
static inline void expect_fault(struct peer *peer, struct script *script, unsigned code,
                                const char *reason)
{
    client(script, FIN | TEXT, SPAN("too late"));
    server_closes(script, code, reason);
    play(peer, script, SHAKE DEFLATE "\r\n", true);
    assert_true(peer->metrics.value[METRIC_WS_PROTOCOL_ERRORS] > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
