/* SPDX-License-Identifier: MIT */
/* stream: durable append in lanes, tail by position, trim up to a position. The order within a lane
 * is the order of its sequence numbers: microseconds of the server's clock, made strictly growing
 * over all lanes, so below 2^53 for two centuries to come.
 *
 *     stream_append --one call at a time, joined--> lanes --stream_read--> listeners, sink
 *                                                    ^                       |
 *                                                    '---- stream_state -----'  stored: may go
 *
 * Where the store has several servers, so has the stream: each lane is on one of them. What is appended
 * together is stored whole or not at all for each of these parts (stream_part.h), and the caller hears of
 * each lane whether it is. */
#ifndef MUSTER_STORE_STREAM_H
#define MUSTER_STORE_STREAM_H

#include "store/stream_types.h"

struct store;
struct chunk;

/* Before the first append. */
void stream_setup(struct store *store, const struct stream_limits *limits);

/* Appends `count` items (copied) in one step. A link lost meanwhile is waited for some seconds; the
 * server knows a call that it has carried out before, so nothing is stored twice. 0, or -1 when
 * surely nothing was or will be stored (`fn` is not called): no link to one of the servers that it
 * touches, or too much waits for it, or it refuses what others would store. */
int stream_append(struct store *store, const struct stream_item *items, size_t count,
                  stream_append_fn *fn, void *arg) __attribute__((warn_unused_result));

/* The same for items that lie in a chunk as stream_item_put (stream_call.h) left them: many bytes are taken
 * without a copy. Takes a reference. */
int stream_append_chunk(struct store *store, struct chunk *items, size_t count,
                        stream_append_fn *fn, void *arg) __attribute__((warn_unused_result));

/* The same for items that have nothing to do with each other: those whose server is away are refused, and the
 * others stored. -1: all are refused. */
int stream_append_apart(struct store *store, struct chunk *items, size_t count,
                        stream_append_fn *fn, void *arg) __attribute__((warn_unused_result));

/* What the stream has; of a server that is away, what it said last. */
struct stream_depth {
    uint64_t entries;  /* kept, in all lanes */
    uint64_t unstored; /* that no sink has marked */
};

/* NULL when no server answered. */
typedef void stream_depth_fn(void *arg, const struct stream_depth *depth);

/* 0, or -1 without a call of `fn`. */
int stream_depth(struct store *store, stream_depth_fn *fn, void *arg)
    __attribute__((warn_unused_result));

#endif
