/* SPDX-License-Identifier: MIT */
/* Our WebSocket reader against wslay's own event layer, which we do not use: of the same frames both must
 * make the same messages, see the same close, and refuse what the other refuses. Without deflate, which
 * wslay does not have. The input is a list of frames: first byte, length, payload, which are masked here; a
 * first byte of 0xff: what follows goes as it is. */
#include "node/proto/ws/ws.h"
#include "tests/fuzz/fuzz_peer.h"

#include <wslay/wslay.h>

enum { LIMIT = 10000, AS_IT_IS = 0xff };

static struct fuzz_peer peer;
static struct buf ours, theirs; /* messages: kind, payload, a line end */
static bool half_a_code;        /* wslay heard a close of one byte */

/* ------------------------------------------------------------------------------------ ours */

static void note(struct buf *out, unsigned kind, struct span payload)
{
    buf_printf(out, "%u %zu ", kind, payload.len);
    buf_append(out, payload);
    buf_append(out, SPAN("\n"));
}

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    (void)arg;
    note(&ours, (unsigned)kind, payload);
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void serve(void *arg, struct http_request *request)
{
    static const struct ws_handler handler = {.message = on_message, .closed = on_closed};
    (void)arg;
    struct ws *ws = ws_accept(request, &handler, NULL);
    (void)ws;
}

/* The code of the close frame in what we said (0: it has none, -1: there is no close frame). */
static int code_said(struct span out)
{
    const char *end = memmem(out.ptr, out.len, "\r\n\r\n", 4);
    if (end == NULL) {
        return -1;
    }
    out = span_skip(out, (size_t)(end + 4 - out.ptr));
    while (out.len >= 2) { /* short frames of a server: pongs and the close */
        unsigned char first = (unsigned char)out.ptr[0], len = (unsigned char)out.ptr[1];
        if ((first & 0x0f) == WSLAY_CONNECTION_CLOSE) {
            return len < 2 ? 0 : (unsigned char)out.ptr[2] << 8 | (unsigned char)out.ptr[3];
        }
        out = span_skip(out, 2 + (size_t)len < out.len ? 2 + (size_t)len : out.len);
    }
    return -1;
}

/* ------------------------------------------------------------------------------------ wslay's */

struct fed {
    struct span in;
    struct buf out;
};

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *to, size_t len, int flags, void *arg)
{
    struct fed *fed = arg;
    (void)flags;
    size_t n = len < fed->in.len ? len : fed->in.len;
    if (n == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(to, fed->in.ptr, n);
    fed->in = span_skip(fed->in, n);
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *from, size_t len, int flags,
                       void *arg)
{
    struct fed *fed = arg;
    (void)ctx, (void)flags;
    buf_append(&fed->out, span_of(from, len));
    return (ssize_t)len;
}

static void on_msg(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *msg,
                   void *arg)
{
    (void)ctx, (void)arg;
    if (msg->opcode == WSLAY_CONNECTION_CLOSE) {
        half_a_code = msg->msg_length == 1;
    } else if (!wslay_is_ctrl_frame(msg->opcode)) {
        note(&theirs, msg->opcode, span_of(msg->msg, msg->msg_length));
    }
}

static int play_theirs(struct span in)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv, .send_callback = on_send, .on_msg_recv_callback = on_msg};
    wslay_event_context_ptr ctx;
    struct fed fed = {.in = in};
    if (wslay_event_context_server_init(&ctx, &callbacks, &fed) != 0) {
        abort();
    }
    wslay_event_config_set_max_recv_msg_length(ctx, LIMIT);
    bool failed = wslay_event_recv(ctx) != 0 || wslay_event_send(ctx) != 0;
    int code = wslay_event_get_close_sent(ctx) ? (int)wslay_event_get_status_code_sent(ctx) : -1;
    code = code == WSLAY_CODE_NO_STATUS_RCVD ? 0 : code;
    wslay_event_context_free(ctx);
    buf_free(&fed.out);
    return failed && code < 0 ? WS_PROTOCOL_ERROR : code;
}

/* ------------------------------------------------------------------------------------ both */

static struct span add_frame(struct buf *in, struct span list)
{
    unsigned char first = (unsigned char)list.ptr[0];
    size_t len = list.len > 1 ? (unsigned char)list.ptr[1] : 0;
    list = span_skip(list, list.len > 1 ? 2 : 1);
    len = len < list.len ? len : list.len;
    struct span payload = span_of(list.ptr, len);
    if (first == AS_IT_IS) {
        buf_append(in, payload);
        return span_skip(list, len);
    }
    const unsigned char head[8] = {first, (unsigned char)(0x80 | (len < 126 ? len : 126)), 0,
                                   (unsigned char)len};
    buf_append(in, span_of(head, len < 126 ? 2 : 4));
    buf_append(in, SPAN("\1\2\3\4"));
    for (size_t i = 0; i < len; i++) {
        char c = (char)(payload.ptr[i] ^ (char)(1 + i % 4));
        buf_append(in, span_of(&c, 1));
    }
    return span_skip(list, len);
}

static void init(void)
{
    static const struct http_options options = {.header_limit = 4096,
                                                .body_limit = 64,
                                                .request_ms = 1000000,
                                                .keep_alive_ms = 1000000,
                                                .ws_message_limit = LIMIT};
    fuzz_peer_init(&peer, &options);
    http_route_websocket(peer.server, "/", serve, NULL);
}

/* Codes that came after RFC 6455 (IANA's registry of close codes): wslay takes them for malformed. */
static bool is_young(int code)
{
    return code >= 1012 && code <= 1014;
}

/* Where a frame breaks two rules each may name another one; and we read a close frame when it is whole,
 * wslay as it comes. */
static bool same_end(int mine, int other)
{
    bool broken = mine == WS_PROTOCOL_ERROR || mine == WS_INVALID_DATA || mine < 0;
    bool broken_too = other == WS_PROTOCOL_ERROR || other == WS_INVALID_DATA;
    return mine == other || (is_young(mine) && other == WS_PROTOCOL_ERROR) ||
           (broken && broken_too && (mine >= 0 || other == WS_INVALID_DATA));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    static struct buf in, out;
    if (!ready) {
        init();
        ready = true;
    }
    in.len = out.len = ours.len = theirs.len = 0;
    half_a_code = false;
    fuzz_add_handshake(&in, "/");
    size_t begin = in.len;
    for (struct span list = span_of(data, size); list.len > 0;) {
        list = add_frame(&in, list);
    }
    int their_code = play_theirs(span_skip(buf_span(&in), begin));
    fuzz_play(&peer, buf_span(&in), 0, &out, NULL);
    int our_code = code_said(buf_span(&out));
    if (half_a_code && our_code == WS_PROTOCOL_ERROR) {
        their_code = our_code; /* a code is two bytes (RFC 6455, 5.5.1); wslay lets one byte pass */
    }
    if (!span_eq(buf_span(&ours), buf_span(&theirs)) || !same_end(our_code, their_code)) {
        fprintf(stderr, "ours %d:\n%.*s\ntheirs %d:\n%.*s\n", our_code, SPAN_ARG(buf_span(&ours)),
                their_code, SPAN_ARG(buf_span(&theirs)));
        abort();
    }
    return 0;
}
