/* SPDX-License-Identifier: MIT */
/* json_stream: JSON objects one behind the other in a byte stream, with nothing or white space in
 * between, cut anywhere.
 *
 *     {"a":1}{"b":  |  2} {"c":3}      two reads -> {"a":1}, {"b":2}, {"c":3}
 *
 * Each byte is looked at once, however the stream is cut. An object that came in one piece is given
 * as it lies there; only one that came in several is copied together. */
#ifndef MUSTER_NODE_PROTO_JSON_STREAM_H
#define MUSTER_NODE_PROTO_JSON_STREAM_H

#include "node/proto/json/scan.h"
#include "store/base/buf.h"
#include "store/base/utf8.h"

/* Its fields are its own. An idle stream owns no memory. */
struct json_stream {
    struct json_scan scan;
    struct utf8 utf8;
    struct buf part; /* of the object under way; or the one that was given last */
    size_t limit;
    bool given; /* `part` is done with */
};

enum json_stream_error {
    JSON_STREAM_MALFORMED = -1, /* no UTF-8, no JSON, no object, or nested beyond JSON_SCAN_DEPTH */
    JSON_STREAM_TOO_LONG = -2,  /* an object of more bytes than the limit */
};

/* `limit`: most bytes of one object, white space inside it included. */
void json_stream_init(struct json_stream *stream, size_t limit);
void json_stream_deinit(struct json_stream *stream);

/* Takes bytes off the front of *bytes, up to the end of an object. Below 0: an enum
 * json_stream_error, after which the stream is of no more use; 0: all were taken, more are needed;
 * above 0: *object is one whole valid object, borrowed until the next call (and as long as *bytes).
 */
int json_stream_next(struct json_stream *stream, struct span *bytes, struct span *object)
    __attribute__((warn_unused_result));

#endif
