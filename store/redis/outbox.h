/* SPDX-License-Identifier: MIT */
/* redis outbox: bytes on their way to a server, in order. Short ones are copied together; what is
 * long comes as a chunk that is shared with its owner and not copied.
 *
 *     bytes | chunk, bytes | chunk, bytes | ...          taken from the front */
#ifndef MUSTER_STORE_REDIS_OUTBOX_H
#define MUSTER_STORE_REDIS_OUTBOX_H

#include "store/base/buf.h"
#include "store/base/chunk.h"
#include "store/base/list.h"

/* All zero is an empty one. Its fields are its own. */
struct redis_outbox {
    struct buf bytes;   /* before the first part */
    size_t taken;       /* of `bytes`, or of the first part's chunk when there are none */
    struct list *parts; /* struct outbox_part; NULL: there was none yet */
    size_t in_parts;    /* bytes */
};

/* Appends; `bytes` are copied. */
void redis_outbox_put(struct redis_outbox *box, struct span bytes);

/* Appends; takes a reference. */
void redis_outbox_share(struct redis_outbox *box, struct chunk *chunk);

/* Appends all that `other` has, which keeps it. */
void redis_outbox_add(struct redis_outbox *box, const struct redis_outbox *other);

/* Bytes at the front that lie together, borrowed until the next change; empty when there are none. */
struct span redis_outbox_front(const struct redis_outbox *box);

/* The first `n` bytes, at most those of redis_outbox_front, are done with. */
void redis_outbox_take(struct redis_outbox *box, size_t n);

/* Bytes in all. */
size_t redis_outbox_len(const struct redis_outbox *box);

/* Forgets the content and frees the memory. */
void redis_outbox_free(struct redis_outbox *box);

#endif
