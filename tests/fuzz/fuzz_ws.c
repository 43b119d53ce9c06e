/* SPDX-License-Identifier: MIT */
/* Frames behind a handshake, whole and in pieces: the answers must be the same. The first byte
 * chooses between bytes as they are and a list of frames: first byte, length, payload, which are
 * masked here. */
#include "node/proto/ws/ws.h"
#include "tests/fuzz/fuzz_peer.h"

enum { RAW = 1, DEFLATE = 2 };

static struct fuzz_peer peer;
static struct ws *ws;

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    (void)arg;
    if (payload.len > 0 && payload.ptr[0] == 'c') {
        ws_close(ws, WS_NORMAL, "asked to");
    } else {
        ws_send(ws, kind, payload);
    }
}

static void on_closed(void *arg)
{
    (void)arg;
    ws = NULL;
}

static void serve(void *arg, struct http_request *request)
{
    static const struct ws_handler handler = {.message = on_message, .closed = on_closed};
    (void)arg;
    ws = ws_accept(request, &handler, NULL);
}

static void init(void)
{
    static const struct http_options options = {.header_limit = 4096,
                                                .body_limit = 64,
                                                .request_ms = 1000000,
                                                .keep_alive_ms = 1000000,
                                                .ws_message_limit = 10000};
    fuzz_peer_init(&peer, &options);
    http_route_websocket(peer.server, "/", serve, NULL);
}

static struct span add_frame(struct buf *in, struct span list)
{
    unsigned char head[8] = {(unsigned char)list.ptr[0], 0, 0, 0, 1, 2, 3, 4};
    size_t len = list.len > 1 ? (unsigned char)list.ptr[1] : 0, wide = len < 126 ? 0 : 2;
    list = span_skip(list, list.len > 1 ? 2 : 1);
    len = len < list.len ? len : list.len;
    wide = len < 126 ? 0 : 2;
    head[1] = (unsigned char)(0x80 | (wide == 0 ? len : 126));
    head[3] = (unsigned char)len;
    buf_append(in, span_of(head, 2 + wide));
    buf_append(in, span_of(head + 4, 4));
    for (size_t i = 0; i < len; i++) {
        char c = (char)(list.ptr[i] ^ head[4 + i % 4]);
        buf_append(in, span_of(&c, 1));
    }
    return span_skip(list, len);
}

static void build(struct buf *in, struct span data)
{
    unsigned char mode = (unsigned char)data.ptr[0];
    data = span_skip(data, 1);
    buf_append(in, SPAN("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        "Sec-WebSocket-Version: 13\r\n"));
    if ((mode & DEFLATE) != 0) {
        buf_append(in, SPAN("Sec-WebSocket-Extensions: permessage-deflate\r\n"));
    }
    buf_append(in, SPAN("\r\n"));
    if ((mode & RAW) != 0) {
        buf_append(in, data);
        return;
    }
    while (data.len > 0) {
        data = add_frame(in, data);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready) {
        init();
        ready = true;
    }
    if (size == 0) {
        return 0;
    }
    static struct buf in, whole, pieces;
    in.len = whole.len = pieces.len = 0;
    build(&in, span_of(data, size));
    fuzz_play(&peer, buf_span(&in), 0, &whole, NULL);
    fuzz_play(&peer, buf_span(&in), (uint32_t)size * 2 + 1, &pieces, NULL);
    if (!span_eq(buf_span(&whole), buf_span(&pieces)) || ws != NULL) {
        abort();
    }
    return 0;
}
