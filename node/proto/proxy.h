/* SPDX-License-Identifier: MIT */
/* proxy: the PROXY protocol, versions 1 and 2: the header in which a load balancer says, before any
 * byte of the client, for which client it made the connection.
 * (haproxy.org/download/2.9/doc/proxy-protocol.txt; 2.1 is the text form, 2.2 the binary one.)
 *
 *     "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
 *     12 bytes of signature, version and command, family, u16 length, addresses, TLVs (passed over)
 */
#ifndef MUSTER_NODE_PROTO_PROXY_H
#define MUSTER_NODE_PROTO_PROXY_H

#include "node/net/address.h"
#include "store/base/buf.h"
#include "store/base/span.h"

#include <stdbool.h>
#include <stddef.h>

enum { PROXY_LIMIT = 4096 }; /* bytes of a header; a longer one is malformed */

struct proxy {
    bool known;            /* false: UNKNOWN, LOCAL or a family that is no IP: the connection's own
                              addresses count */
    struct address source; /* the client */
    struct address destination; /* where it connected to */
};

/* Reads the header that `bytes`, all that came in so far, begins with. Below 0: it is none; 0: more
 * is needed, nothing was taken; above 0: *out is filled and *used bytes are the header. */
int proxy_read(struct span bytes, struct proxy *out, size_t *used)
    __attribute__((warn_unused_result));

/* The same for a header that comes in pieces: `head` is what was gathered so far, empty at the start,
 * and freed when the header is whole or none; `bytes` is the next piece, of which *taken bytes belong
 * to the header: all of them while more is needed. */
int proxy_gather(struct buf *head, struct span bytes, struct proxy *out, size_t *taken)
    __attribute__((warn_unused_result));

#endif
