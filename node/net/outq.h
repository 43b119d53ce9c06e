/* SPDX-License-Identifier: MIT */
/* outq: the chunks that wait for one socket, in order. An empty queue owns no memory: the small
 * rings that most queues get along with are lent from a pool. */
#ifndef MUSTER_NODE_NET_OUTQ_H
#define MUSTER_NODE_NET_OUTQ_H

#include "store/base/chunk.h"
#include "store/base/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct outq {
    struct ring ring; /* of struct chunk *; `begun`: bytes of the first one that are written */
    size_t bytes;     /* still to write */
};

struct outq_pool {
    struct outq_ring *free;
    unsigned count;
};

/* Queues the chunk with its own reference. */
void outq_push(struct outq *q, struct outq_pool *pool, struct chunk *chunk);

/* Fills `iov` with up to `most` pieces from the front; returns how many. */
int outq_peek(const struct outq *q, struct iovec *iov, int most);

/* `n` bytes from the front have been written. */
void outq_wrote(struct outq *q, struct outq_pool *pool, size_t n);

/* Drops all; with `keep_started`, not a first chunk of which a part is written. */
void outq_drop(struct outq *q, struct outq_pool *pool, bool keep_started);

/* Frees the rings that are not lent. */
void outq_pool_deinit(struct outq_pool *pool);

#endif
