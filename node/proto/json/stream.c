/* SPDX-License-Identifier: MIT */
#include "node/proto/json/stream.h"

#include "node/proto/json/scan_impl.h"
enum { KEPT_CAP = 1024 }; /* bytes kept for the next object that comes in pieces */

void json_stream_init(struct json_stream *stream, size_t limit)
{
    *stream = (struct json_stream){.limit = limit};
    json_scan_init(&stream->scan);
}

void json_stream_deinit(struct json_stream *stream)
{
    buf_free(&stream->part);
}

/* The object given last is not needed any more. */
static void let_go(struct json_stream *stream)
{
    if (stream->given) {
        stream->given = false;
        stream->part.len = 0;
        if (stream->part.cap > KEPT_CAP) {
            buf_free(&stream->part);
        }
    }
}

/* Skips what stands between objects. false: what comes next is no object. */
static bool skip_to_object(struct span *bytes)
{
    while (bytes->len > 0 && json_is_space(bytes->ptr[0])) {
        *bytes = span_skip(*bytes, 1);
    }
    return bytes->len == 0 || bytes->ptr[0] == '{';
}

/* Ready for the next object. */
static void finish(struct json_stream *stream, struct span taken, struct span *object)
{
    json_scan_init(&stream->scan);
    *object = taken;
    if (stream->part.len > 0) {
        buf_append(&stream->part, taken);
        *object = buf_span(&stream->part);
        stream->given = true;
    }
}

int json_stream_next(struct json_stream *stream, struct span *bytes, struct span *object)
{
    size_t used;
    let_go(stream);
    if (json_scan_idle(&stream->scan) && !skip_to_object(bytes)) {
        return JSON_STREAM_MALFORMED;
    }
    int rc = json_scan_feed(&stream->scan, *bytes, &used);
    struct span taken = span_of(bytes->ptr, used);
    if (rc < 0 || !utf8_feed(&stream->utf8, taken)) {
        return JSON_STREAM_MALFORMED;
    }
    if (stream->part.len + used > stream->limit) {
        return JSON_STREAM_TOO_LONG;
    }
    *bytes = span_skip(*bytes, used);
    if (rc > 0) {
        finish(stream, taken, object);
    } else {
        buf_append(&stream->part, taken);
    }
    return rc;
}
