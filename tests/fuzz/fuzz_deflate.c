/* SPDX-License-Identifier: MIT */
/* Messages squeezed and unsqueezed: ours against a stream of zlib's that is fed byte by byte with the
 * message and its tail; and any bytes come back as they went in. The first byte is the limit, in 64s. */
#include "node/proto/ws/deflate.h"
#include "store/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 22 };

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* Feeds one byte after the other. false: they are no deflate data, or more than `most` bytes of it. */
static bool feed(z_stream *stream, struct span bytes, size_t most, struct buf *out, bool *ended)
{
    for (size_t i = 0; i < bytes.len; i++) {
        Bytef one = (Bytef)bytes.ptr[i];
        if (*ended) { /* a sender may begin another stream (RFC 7692, 7.2.3.4) */
            inflateReset(stream);
            *ended = false;
        }
        stream->next_in = &one;
        stream->avail_in = 1;
        int rc;
        do {
            stream->next_out = (Bytef *)buf_room(out, 4096);
            stream->avail_out = 4096;
            rc = inflate(stream, Z_NO_FLUSH);
            buf_grew(out, 4096 - stream->avail_out);
            *ended = rc == Z_STREAM_END;
        } while (rc == Z_OK && stream->avail_out == 0 && out->len <= most);
        if ((rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) || out->len > most) {
            return false;
        }
    }
    return true;
}

static void compare(struct span message, size_t limit)
{
    struct buf ours = {0}, theirs = {0};
    z_stream stream = {0};
    bool ended = false;
    enum inflate_result result = deflate_inflate(message, limit, &ours);
    must(ours.len <= limit, "the limit holds");
    must(inflateInit2(&stream, -15) == Z_OK, "zlib");
    bool good = feed(&stream, message, limit, &theirs, &ended);
    size_t without_tail = theirs.len;
    if (good && !ended) {
        good = feed(&stream, SPAN("\0\0\xff\xff"), limit, &theirs, &ended);
    }
    if (result == INFLATE_OK) {
        must(good || message.len == 0, "what we take zlib takes");
        must(span_eq(buf_span(&ours), buf_span(&theirs)), "the same bytes");
        must(theirs.len == without_tail, "the tail is no data");
    } else if (result == INFLATE_TOO_BIG) {
        must(!good, "zlib, too, makes more of it than the limit");
    } else if (good) { /* the message was cut short: its tail is data, or leaves a block open */
        must(theirs.len > without_tail || ended || (stream.data_type & 128) == 0 ||
                 (stream.data_type & 63) != 0,
             "we refuse only what is cut short");
    }
    inflateEnd(&stream);
    buf_free(&ours);
    buf_free(&theirs);
}

static void round_trip(struct span bytes)
{
    struct buf squeezed = {0}, back = {0};
    deflate_message(bytes, &squeezed);
    must(deflate_inflate(buf_span(&squeezed), bytes.len, &back) == INFLATE_OK &&
             span_eq(buf_span(&back), bytes),
         "there and back");
    back.len = 0;
    must(bytes.len == 0 ||
             deflate_inflate(buf_span(&squeezed), bytes.len - 1, &back) == INFLATE_TOO_BIG,
         "a byte too many is seen");
    buf_free(&squeezed);
    buf_free(&back);
}

/* Any words as the header in which a client offers the extension. */
static void negotiate(struct span words)
{
    struct buf answer = {0};
    bool taken = deflate_negotiate(words, &answer);
    must(taken == (answer.len > 0) &&
             (!taken || span_starts_with(buf_span(&answer), SPAN("permessage-deflate; server_no"))),
         "an answer where it was taken");
    buf_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct span rest = span_of(data + 1, size - 1);
    compare(rest, (size_t)data[0] * 64);
    compare(rest, MOST);
    round_trip(rest);
    negotiate(rest);
    return 0;
}
