/* SPDX-License-Identifier: MIT */
/* Frames in, messages out. Bytes flow
 *
 *     read buffer --> wslay's 4 KiB (unmasks there)
 *         --> message()                    the message is one frame, whole in there
 *         \-> gathered --> message()       the message is whole in this read
 *                     \-> ws->partial      the rest is to come
 *
 * so that only a message which began in an earlier read has memory of its own. wslay's frame layer
 * checks that control frames are short and unfragmented and lengths minimal; all other rules are
 * kept here. */
#include "node/proto/ws/impl.h"

#include "node/net/net.h"
#include "node/proto/ws/deflate.h"
#include "store/base/mem.h"

#include <wslay/wslay.h>

enum {
    WS_READ_MOST_POOLED = 32,
    WS_READ_MOST_CONTROL = 125,
    FRAME_WORK = 256,          /* what a frame costs, counted in bytes */
    SEND_WORK = 128,           /* what each send costs that a message brings about */
    TURN_WORK = 256 * 1024,    /* after so much others have their turn */
    WSLAY_CONTEXT = 8384,      /* bytes of a frame context, about */
    SHARED_KEPT = 1024 * 1024, /* bytes that the shared buffers keep between messages */
};

/* A wslay context, and how far it is: it may be given back when each byte fed was part of a frame
 * that has ended, since only then wslay keeps nothing of this stream. */
struct ws_reader {
    struct ws_reader *next; /* in the pool */
    wslay_frame_context_ptr ctx;
    struct span in; /* read, but not fed yet */
    uint64_t open;  /* bytes fed that belong to no frame that has ended */
    uint64_t got;   /* payload bytes of the frame under way */
    size_t work;    /* done in this turn */
    char control[WS_READ_MOST_CONTROL];
};

static struct ws_reader *pool;
static unsigned pooled;

static struct buf gathered, inflated;

static ssize_t feed(uint8_t *buf, size_t len, int flags, void *arg)
{
    (void)flags;
    struct ws_reader *reader = arg;
    size_t n = reader->in.len < len ? reader->in.len : len;
    if (n == 0) {
        return -1;
    }
    memcpy(buf, reader->in.ptr, n);
    reader->in = span_skip(reader->in, n);
    reader->open += n;
    return (ssize_t)n;
}

static struct ws_reader *reader_new(void)
{
    struct ws_reader *reader = pool;
    if (reader != NULL) {
        pool = reader->next;
        pooled--;
        return reader;
    }
    reader = mem_zalloc(sizeof(*reader));
    const struct wslay_frame_callbacks callbacks = {.recv_callback = feed};
    if (wslay_frame_context_init(&reader->ctx, &callbacks, reader) != 0) {
        mem_exhausted(WSLAY_CONTEXT);
    }
    return reader;
}

static void reader_free(struct ws_reader *reader)
{
    wslay_frame_context_free(reader->ctx);
    free(reader);
}

static void reader_give_back(struct ws_reader *reader)
{
    if (pooled == WS_READ_MOST_POOLED) {
        reader_free(reader);
        return;
    }
    reader->next = pool;
    pool = reader;
    pooled++;
}

/* ------------------------------------------------------------------------------------- messages */

/* Where the message under way is put together. */
static struct buf *assembly(struct ws *ws)
{
    return ws->partial != NULL ? ws->partial : &gathered;
}

static void let_go(struct buf *shared)
{
    shared->len = 0;
    if (shared->cap > SHARED_KEPT) {
        buf_free(shared);
    }
}

static void drop_message(struct ws *ws)
{
    ws->kind = 0;
    if (ws->partial != NULL) {
        buf_free(ws->partial);
        free(ws->partial);
        ws->partial = NULL;
    }
}

static void deliver_inflated(struct ws *ws, struct span payload)
{
    switch (deflate_inflate(payload, ws->message_limit, &inflated)) {
    case INFLATE_OK:
        if (ws->kind == WS_TEXT && !utf8_valid(buf_span(&inflated))) {
            ws_fail(ws, WS_INVALID_DATA, "text must be UTF-8");
        } else {
            ws_on_message(ws, buf_span(&inflated));
        }
        break;
    case INFLATE_TOO_BIG:
        ws_fail(ws, WS_TOO_BIG, "the message is too big");
        break;
    default:
        ws_fail(ws, WS_INVALID_DATA, "broken deflate data");
        break;
    }
    ws->reader->work += inflated.len;
    let_go(&inflated);
}

static void message_end(struct ws *ws, struct span payload)
{
    const struct net *net = conn_net(ws->conn);
    uint64_t sends_before = net_sends(net);
    if (ws->compressed) {
        deliver_inflated(ws, payload);
    } else if (ws->kind == WS_TEXT && !utf8_whole(&ws->utf8)) {
        ws_fail(ws, WS_INVALID_DATA, "text must be UTF-8");
    } else {
        ws_on_message(ws, payload);
    }
    ws->reader->work += (size_t)(net_sends(net) - sends_before) * SEND_WORK;
    gathered.len = 0;
    drop_message(ws);
}

static void on_data_piece(struct ws *ws, const struct wslay_frame_iocb *frame, bool frame_ends)
{
    struct span piece = span_of(frame->data, frame->data_length);
    if (!ws_heeds(ws)) {
        return; /* closing: only the peer's close counts */
    }
    if (ws->kind == WS_TEXT && !ws->compressed && !utf8_feed(&ws->utf8, piece)) {
        ws_fail(ws, WS_INVALID_DATA, "text must be UTF-8");
        return;
    }
    bool message_ends = frame_ends && frame->fin != 0;
    if (message_ends && assembly(ws)->len == 0) {
        message_end(ws, piece);
        return;
    }
    buf_append(assembly(ws), piece);
    if (message_ends) {
        message_end(ws, buf_span(assembly(ws)));
    }
}

/* --------------------------------------------------------------------------------------- frames */

/* A message that deflate cannot shrink comes in longer than it is. */
static uint64_t limit_on_wire(const struct ws *ws)
{
    uint64_t limit = ws->message_limit;
    return ws->compressed ? limit + limit / 16 + 64 : limit;
}

static bool rsv_is_sound(const struct ws *ws, const struct wslay_frame_iocb *frame)
{
    bool first_of_message = frame->opcode == WS_TEXT || frame->opcode == WS_BINARY;
    return frame->rsv == 0 || (frame->rsv == WSLAY_RSV1_BIT && ws->deflates && first_of_message);
}

static bool start_data_frame(struct ws *ws, const struct wslay_frame_iocb *frame)
{
    bool continues = frame->opcode == WSLAY_CONTINUATION_FRAME;
    if (!ws_heeds(ws)) {
        return true; /* what came before may not have been kept, so there is nothing to hold it to
                      */
    }
    if (continues != (ws->kind != 0)) {
        ws_fail(ws, WS_PROTOCOL_ERROR, continues ? "nothing to continue" : "continuation expected");
        return false;
    }
    if (!continues) {
        ws->kind = frame->opcode;
        ws->compressed = frame->rsv == WSLAY_RSV1_BIT;
        ws->utf8 = (struct utf8){0};
    }
    if (frame->payload_length > limit_on_wire(ws) - assembly(ws)->len) {
        ws_fail(ws, WS_TOO_BIG, "the message is too big");
        return false;
    }
    return true;
}

/* The header of a frame is known. false when it was the last one. */
static bool start_frame(struct ws *ws, const struct wslay_frame_iocb *frame)
{
    if (frame->mask == 0) {
        ws_fail(ws, WS_PROTOCOL_ERROR, "frames must be masked");
    } else if (!rsv_is_sound(ws, frame)) {
        ws_fail(ws, WS_PROTOCOL_ERROR, "reserved bits are set");
    } else if (frame->opcode <= WSLAY_BINARY_FRAME) {
        return start_data_frame(ws, frame);
    } else if (frame->opcode < WSLAY_CONNECTION_CLOSE || frame->opcode > WSLAY_PONG) {
        ws_fail(ws, WS_PROTOCOL_ERROR, "reserved opcode");
    } else {
        return true;
    }
    return false;
}

static void on_piece(struct ws *ws, struct ws_reader *reader, const struct wslay_frame_iocb *frame)
{
    if (reader->got == 0 && !start_frame(ws, frame)) {
        return;
    }
    bool control = wslay_is_ctrl_frame(frame->opcode);
    if (control && frame->data_length > 0) {
        memcpy(reader->control + reader->got, frame->data, frame->data_length);
    }
    reader->got += frame->data_length;
    bool ends = reader->got == frame->payload_length;
    if (ends) {
        reader->got = 0;
        unsigned extended = frame->payload_length <= 125      ? 0
                            : frame->payload_length <= 0xffff ? 2
                                                              : 8;
        reader->open -= 2 + extended + 4 + frame->payload_length;
        reader->work += FRAME_WORK;
    }
    if (!control) {
        on_data_piece(ws, frame, ends);
    } else if (ends) {
        struct span payload = span_of(reader->control, (size_t)frame->payload_length);
        if (frame->opcode == WSLAY_CONNECTION_CLOSE) {
            ws_on_close(ws, payload);
        } else if (ws->state == WS_OPEN && frame->opcode == WSLAY_PING) {
            ws_on_ping(ws, payload);
        } /* a pong is as good as any other sign of life: on_data has seen it */
    }
}

static void read_frames(struct ws *ws, struct ws_reader *reader)
{
    struct wslay_frame_iocb frame;
    while (ws->state != WS_ENDED && !conn_is_paused(ws->conn, CONN_PAUSE_SERVICE)) {
        if (reader->work >= TURN_WORK) {
            ws_yield(ws);
            return;
        }
        ssize_t n = wslay_frame_recv(reader->ctx, &frame);
        if (n == WSLAY_ERR_WANT_READ) {
            return;
        }
        if (n < 0) {
            ws_fail(ws, WS_PROTOCOL_ERROR, "malformed frame");
            return;
        }
        on_piece(ws, reader, &frame);
    }
}

size_t ws_read(struct ws *ws, struct span bytes)
{
    if (ws->state == WS_ENDED) {
        return bytes.len;
    }
    struct ws_reader *reader = ws->reader != NULL ? ws->reader : reader_new();
    ws->reader = reader;
    reader->in = bytes;
    reader->work = 0;
    read_frames(ws, reader);
    size_t left = reader->in.len;
    reader->in = (struct span){NULL, 0};
    /* What was gathered but is not whole when the read ends gets memory of its own. */
    if (gathered.len > 0 && ws->kind != 0 && ws_heeds(ws)) {
        ws->partial = mem_zalloc(sizeof(*ws->partial));
        buf_append(ws->partial, buf_span(&gathered));
    }
    let_go(&gathered);
    if (ws->partial != NULL && ws->partial->len > 0 && !ws->compressed && ws_heeds(ws)) {
        ws_on_part(ws, buf_span(ws->partial));
    }
    if (ws->state == WS_ENDED) {
        ws_read_deinit(ws);
        return bytes.len;
    }
    if (reader->open == 0) {
        ws->reader = NULL;
        reader_give_back(reader);
    }
    return bytes.len - left;
}

void ws_read_deinit(struct ws *ws)
{
    if (ws->reader != NULL) {
        reader_free(ws->reader); /* in the middle of a frame, it serves no other stream */
        ws->reader = NULL;
    }
    drop_message(ws);
}
