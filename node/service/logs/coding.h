/* SPDX-License-Identifier: MIT */
/* logs coding: bodies that came with a Content-Encoding (RFC 9110, 8.4). */
#ifndef MUSTER_NODE_SERVICE_LOGS_CODING_H
#define MUSTER_NODE_SERVICE_LOGS_CODING_H

#include "store/base/buf.h"

#include <stdbool.h>

#define LOGS_CODINGS "gzip, deflate, zstd, snappy"

enum logs_coding { LOGS_PLAIN, LOGS_DECODED, LOGS_BROKEN, LOGS_TOO_BIG, LOGS_UNKNOWN };

/* Appends the decoded `body` to `out`, `limit` bytes at most. LOGS_PLAIN: it is not encoded, and
 * nothing was appended; LOGS_UNKNOWN: it is none of LOGS_CODINGS, or several. */
enum logs_coding logs_decode(struct span coding, struct span body, size_t limit, struct buf *out)
    __attribute__((warn_unused_result));

#endif
