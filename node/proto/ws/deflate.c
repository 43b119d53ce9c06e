/* SPDX-License-Identifier: MIT */
#include "node/proto/ws/deflate.h"

#include "store/base/mem.h"

#include <zlib.h>

enum {
    WINDOW_BITS = -15, /* raw deflate, the whole window */
    MEM_LEVEL = 8,
    LEVEL =
        Z_BEST_SPEED, /* pushes are many and short-lived: the better ratio is not worth the time */
    TAIL = 4,
    STEP = 16 * 1024,      /* output room made at a time while inflating */
    DEFLATER = 256 * 1024, /* bytes that zlib keeps */
    INFLATER = 40 * 1024,
};

static const unsigned char tail[TAIL] = {0x00, 0x00, 0xff, 0xff};

/* One stream of each kind per process. No context takeover means that every message starts afresh,
 * so all connections can share them: 256 KiB and 40 KiB in all instead of for each one. */
static z_stream *deflater(void)
{
    static z_stream stream;
    static bool ready;
    if (!ready) {
        if (deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL, Z_DEFAULT_STRATEGY) !=
            Z_OK) {
            mem_exhausted(DEFLATER);
        }
        ready = true;
    } else {
        deflateReset(&stream);
    }
    return &stream;
}

static z_stream *inflater(void)
{
    static z_stream stream;
    static bool ready;
    if (!ready) {
        if (inflateInit2(&stream, WINDOW_BITS) != Z_OK) {
            mem_exhausted(INFLATER);
        }
        ready = true;
    } else {
        inflateReset(&stream);
    }
    return &stream;
}

/* zlib takes its input as non-const unless it is built with ZLIB_CONST; it does not write to it. */
static void set_input(z_stream *stream, const void *ptr, size_t len)
{
    union {
        const void *in;
        Bytef *out;
    } cast = {.in = ptr};
    stream->next_in = cast.out;
    stream->avail_in = (uInt)len;
}

void deflate_message(struct span message, struct buf *out)
{
    z_stream *stream = deflater();
    set_input(stream, message.ptr, message.len);
    do {
        size_t room = deflateBound(stream, stream->avail_in) + 16;
        stream->next_out = (Bytef *)buf_room(out, room);
        stream->avail_out = (uInt)room;
        deflate(stream, Z_SYNC_FLUSH);
        buf_grew(out, room - stream->avail_out);
    } while (stream->avail_out == 0);
    out->len -= TAIL;
}

/* Inflates what stands in the input, at most *left bytes. A byte too many goes to `spill`, so that
 * a bomb is noticed without making room for it. Z_OK: all taken; Z_STREAM_END; other: broken or
 * (Z_MEM_ERROR stands for it) too big. */
static int inflate_some(z_stream *stream, size_t *left, struct buf *out)
{
    Bytef spill;
    int rc;
    do {
        size_t room = *left < STEP ? *left : STEP;
        /* cppcheck-suppress uninitvar ; zlib writes there, and the bytes are never read */
        stream->next_out = room > 0 ? (Bytef *)buf_room(out, room) : &spill;
        stream->avail_out = room > 0 ? (uInt)room : 1;
        rc = inflate(stream, Z_SYNC_FLUSH);
        if (room == 0 && stream->avail_out == 0) {
            return Z_MEM_ERROR;
        }
        size_t got = room > 0 ? room - stream->avail_out : 0;
        buf_grew(out, got);
        *left -= got;
    } while (rc == Z_OK && stream->avail_out == 0);
    /* Z_BUF_ERROR: nothing was left to do. */
    return rc == Z_BUF_ERROR ? Z_OK : rc;
}

static enum inflate_result result_of(int rc)
{
    return rc == Z_MEM_ERROR ? INFLATE_TOO_BIG : INFLATE_BROKEN;
}

enum inflate_result deflate_inflate(struct span message, size_t limit, struct buf *out)
{
    if (message.len == 0) {
        return INFLATE_OK; /* not quite deflate, but all that it can mean */
    }
    z_stream *stream = inflater();
    size_t left = limit;
    int rc;
    set_input(stream, message.ptr, message.len);
    /* A sender may end a deflate stream within the message (BFINAL, 7.2.3.4) and start another. */
    while ((rc = inflate_some(stream, &left, out)) == Z_STREAM_END && stream->avail_in > 0) {
        inflateReset(stream);
    }
    if (rc == Z_STREAM_END) {
        return INFLATE_OK;
    }
    if (rc != Z_OK) {
        return result_of(rc);
    }
    size_t before_tail = left;
    set_input(stream, tail, TAIL);
    rc = inflate_some(stream, &left, out);
    if (rc != Z_OK) {
        return result_of(rc);
    }
    /* 128: between two blocks. The tail must be an empty block and nothing else; where it became
     * part of the data, or leaves a block open, the message was cut short. */
    bool between_blocks = (stream->data_type & 128) != 0 && (stream->data_type & 63) == 0;
    return left == before_tail && between_blocks ? INFLATE_OK : INFLATE_BROKEN;
}
