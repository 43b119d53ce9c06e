/* SPDX-License-Identifier: MIT */
/* deflate: messages squeezed one by one (RFC 7692 without context takeover), and the words of the
 * extension's negotiation. The two zlib streams are made once per process, on first use, and serve
 * every connection. */
#ifndef MUSTER_NODE_PROTO_WS_DEFLATE_H
#define MUSTER_NODE_PROTO_WS_DEFLATE_H

#include "store/base/buf.h"
#include "store/base/span.h"

#include <stdbool.h>

/* Appends the deflated `message`, its last four bytes 00 00 ff ff taken off (7.2.1), to `out`. */
void deflate_message(struct span message, struct buf *out);

enum inflate_result { INFLATE_OK, INFLATE_BROKEN, INFLATE_TOO_BIG };

/* Appends the inflated `message` (7.2.2) to `out`; no more than `limit` bytes, ever. */
enum inflate_result deflate_inflate(struct span message, size_t limit, struct buf *out);

/* Reads a Sec-WebSocket-Extensions request value with any number of offers (7.1). true when one of
 * them can be held to as the server is: no context takeover either way, windows of 15 bits; then
 * `answer` holds the value to answer with. Offers with unknown parameters, or that ask for a
 * smaller server window, are passed over. */
bool deflate_negotiate(struct span offers, struct buf *answer);

#endif
