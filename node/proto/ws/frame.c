/* SPDX-License-Identifier: MIT */
/* Frames out. The frame layer of wslay 1.1.1 writes through a callback, piece by piece and copy by
 * copy; a shared frame wants its header and payload in one chunk, so the two to ten bytes are
 * written here. */
#include "node/proto/ws/impl.h"

#include "node/proto/ws/deflate.h"
#include "store/base/utf8.h"

#include <wslay/wslay.h>

enum { FIN = 0x80, RSV1 = 0x40, MOST_HEADER = 10, WS_FRAME_MOST_CONTROL = 125 };

static size_t write_header(unsigned first, size_t len, unsigned char out[static MOST_HEADER])
{
    out[0] = (unsigned char)first;
    if (len <= WS_FRAME_MOST_CONTROL) {
        out[1] = (unsigned char)len;
        return 2;
    }
    size_t bytes = len <= 0xffff ? 2 : 8;
    out[1] = bytes == 2 ? 126 : 127;
    for (size_t i = 0; i < bytes; i++) {
        out[1 + bytes - i] = (unsigned char)(len >> (8 * i));
    }
    return 2 + bytes;
}

static void put(char *to, struct span bytes)
{
    if (bytes.len > 0) {
        memcpy(to, bytes.ptr, bytes.len);
    }
}

static struct chunk *frame_parts(unsigned first, struct span one, struct span two)
{
    unsigned char header[MOST_HEADER];
    size_t head = write_header(first, one.len + two.len, header);
    struct chunk *chunk = chunk_new(head + one.len + two.len);
    memcpy(chunk->data, header, head);
    put(chunk->data + head, one);
    put(chunk->data + head + one.len, two);
    return chunk;
}

static struct chunk *frame(unsigned first, struct span payload)
{
    return frame_parts(first, payload, (struct span){NULL, 0});
}

struct chunk *ws_frame(enum ws_kind kind, struct span payload)
{
    return frame(FIN | kind, payload);
}

struct chunk *ws_frame_parts(enum ws_kind kind, struct span first, struct span second)
{
    return frame_parts(FIN | kind, first, second);
}

struct chunk *ws_frame_deflated(enum ws_kind kind, struct span payload)
{
    static struct buf deflated; /* one per process: its memory is used again */
    deflated.len = 0;
    deflate_message(payload, &deflated);
    return deflated.len < payload.len ? frame(FIN | RSV1 | kind, buf_span(&deflated)) : NULL;
}

struct chunk *ws_frame_ping(void)
{
    return frame(FIN | WSLAY_PING, SPAN(""));
}

struct chunk *ws_frame_pong(struct span payload)
{
    return frame(FIN | WSLAY_PONG, payload);
}

struct chunk *ws_frame_close(unsigned code, struct span reason)
{
    char payload[WS_FRAME_MOST_CONTROL];
    size_t len = 0, most = sizeof(payload) - 2;
    if (code != 0) {
        payload[0] = (char)(code >> 8);
        payload[1] = (char)(code & 0xff);
        reason = utf8_cut(reason, most);
        if (reason.len > 0) {
            memcpy(payload + 2, reason.ptr, reason.len);
        }
        len = 2 + reason.len;
    }
    return frame(FIN | WSLAY_CONNECTION_CLOSE, span_of(payload, len));
}
