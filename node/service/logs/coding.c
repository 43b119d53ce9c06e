/* SPDX-License-Identifier: MIT */
#include "node/service/logs/coding.h"

#include "node/core/pool.h"
#include "store/base/mem.h"

#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

enum {
    DECODE_STEP = 64 * 1024,
    ANY_WRAPPER = 32, /* inflateInit2: windows of 15 bits, gzip or zlib by its head */
    RAW = -15,        /* what some clients send as "deflate", without zlib's head */
};

static bool is_coding(struct span coding, const char *name)
{
    return coding.len == strlen(name) && strncasecmp(coding.ptr, name, coding.len) == 0;
}

static enum logs_coding inflate_body(int window_bits, struct span body, size_t limit,
                                     struct buf *out)
{
    z_stream stream = {0};
    size_t begin = out->len;
    int rc = inflateInit2(&stream, window_bits);
    /* zlib takes its input as non-const unless it is built with ZLIB_CONST; it does not write to
     * it. */
    union {
        const void *in;
        Bytef *out;
    } cast = {.in = body.ptr};
    stream.next_in = cast.out;
    stream.avail_in = (uInt)body.len;
    while (rc == Z_OK && out->len - begin <= limit) {
        pool_give_way();
        stream.next_out = (Bytef *)buf_room(out, DECODE_STEP);
        stream.avail_out = DECODE_STEP;
        rc = inflate(&stream, Z_NO_FLUSH);
        buf_grew(out, DECODE_STEP - stream.avail_out);
        if (rc == Z_STREAM_END && stream.avail_in > 0) {
            rc = inflateReset(&stream); /* several members of gzip, one after the other */
        }
    }
    inflateEnd(&stream);
    return out->len - begin > limit ? LOGS_TOO_BIG
           : rc == Z_STREAM_END     ? LOGS_DECODED
                                    : LOGS_BROKEN;
}

static enum logs_coding inflate_deflate(struct span body, size_t limit, struct buf *out)
{
    size_t begin = out->len;
    enum logs_coding result = inflate_body(15, body, limit, out);
    if (result == LOGS_BROKEN) {
        out->len = begin;
        result = inflate_body(RAW, body, limit, out);
    }
    return result;
}

static enum logs_coding decode_zstd(struct span body, size_t limit, struct buf *out)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer in = {body.ptr, body.len, 0};
    size_t begin = out->len, rc = 1;
    if (stream == NULL) {
        mem_exhausted(DECODE_STEP);
    }
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 23); /* 8 MiB, as RFC 9659 asks */
    while (out->len - begin <= limit) {
        pool_give_way();
        ZSTD_outBuffer to = {buf_room(out, DECODE_STEP), DECODE_STEP, 0};
        rc = ZSTD_decompressStream(stream, &to, &in);
        buf_grew(out, to.pos);
        if (ZSTD_isError(rc) || (in.pos == in.size && to.pos < DECODE_STEP)) {
            break;
        }
    }
    ZSTD_freeDStream(stream);
    return out->len - begin > limit ? LOGS_TOO_BIG : rc == 0 ? LOGS_DECODED : LOGS_BROKEN;
}

/* One block, as Prometheus and Loki send it. */
static enum logs_coding decode_snappy(struct span body, size_t limit, struct buf *out)
{
    size_t size;
    if (snappy_uncompressed_length(body.ptr, body.len, &size) != SNAPPY_OK) {
        return LOGS_BROKEN;
    }
    if (size > limit) {
        return LOGS_TOO_BIG;
    }
    if (snappy_uncompress(body.ptr, body.len, buf_room(out, size), &size) != SNAPPY_OK) {
        return LOGS_BROKEN;
    }
    buf_grew(out, size);
    return LOGS_DECODED;
}

enum logs_coding logs_decode(struct span coding, struct span body, size_t limit, struct buf *out)
{
    coding = span_trim(coding);
    if (coding.len == 0 || is_coding(coding, "identity")) {
        return LOGS_PLAIN;
    }
    if (is_coding(coding, "gzip") || is_coding(coding, "x-gzip")) {
        return inflate_body(15 + ANY_WRAPPER, body, limit, out);
    }
    if (is_coding(coding, "deflate")) {
        return inflate_deflate(body, limit, out);
    }
    if (is_coding(coding, "snappy")) {
        return decode_snappy(body, limit, out);
    }
    return is_coding(coding, "zstd") ? decode_zstd(body, limit, out) : LOGS_UNKNOWN;
}
