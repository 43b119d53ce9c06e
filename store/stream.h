/* SPDX-License-Identifier: MIT */
/* stream: durable append in lanes, tail by position, trim up to a position. The order within a lane
 * is the order of its sequence numbers: microseconds of the server's clock, made strictly growing
 * over all lanes, so below 2^53 for two centuries to come.
 *
 *     stream_append --one call at a time, joined--> lanes --stream_read--> listeners, sink
 *                                                    ^                       |
 *                                                    '---- stream_state -----'  stored: may go
 *
 * The stream of a fleet is one key: all lanes are on one server, so what is appended together is
 * stored together or not at all. */
#ifndef MUSTER_STORE_STREAM_H
#define MUSTER_STORE_STREAM_H

#include "store/stream_types.h"

struct store;
struct chunk;

/* Does the stream's server answer? It may be full: what is in the stream can be read nevertheless. */
bool stream_reached(const struct store *store);

/* Before the first append. */
void stream_setup(struct store *store, const struct stream_limits *limits);

enum stream_outcome {
    STREAM_STORED,
    STREAM_FULL,    /* the bound is reached: nothing was stored */
    STREAM_REFUSED, /* by the server (out of memory): nothing was stored */
    STREAM_ALONE, /* too few replicas had it in time: stored by one server, which may yet lose it */
    STREAM_UNKNOWN, /* the server did not answer for some seconds: may be stored, or not */
};

typedef void stream_append_fn(void *arg, enum stream_outcome outcome);

/* Appends `count` items (copied) in one step. A link lost meanwhile is waited for some seconds; the
 * server knows a call that it has carried out before, so nothing is stored twice. 0, or -1 when
 * surely nothing was or will be stored: no link, or too much waits for it (`fn` is not called). */
int stream_append(struct store *store, const struct stream_item *items, size_t count,
                  stream_append_fn *fn, void *arg) __attribute__((warn_unused_result));

/* The same for items that lie in a chunk as stream_item_put (stream_call.h) left them: many bytes are taken
 * without a copy. Takes a reference. */
int stream_append_chunk(struct store *store, struct chunk *items, size_t count,
                        stream_append_fn *fn, void *arg) __attribute__((warn_unused_result));

/* Reads at most `most` entries of each of the lanes, in one step. 0, or -1 without a call of `fn`.
 */
int stream_read(struct store *store, const struct stream_from *from, size_t lanes, size_t most,
                stream_read_fn *fn, void *arg) __attribute__((warn_unused_result));

/* The same backwards in one lane: entries up to `last`, newest first. */
int stream_read_back(struct store *store, unsigned lane, uint64_t last, size_t most,
                     stream_read_fn *fn, void *arg) __attribute__((warn_unused_result));

struct stream_state {
    struct stream_head head;
    struct span writers;                  /* stream_next_writer; where they were asked for */
    uint64_t last;                        /* the newest sequence number ever given; 0: none */
    unsigned lanes;                       /* that were ever written to: the highest and one */
    uint64_t entries;                     /* kept, in all lanes */
    uint64_t unstored[STREAM_LANES_MOST]; /* entries that no sink has marked */
};

/* NULL when there was no answer. */
typedef void stream_state_fn(void *arg, const struct stream_state *state);

/* Sets marks, trims, and asks how things are. 0, or -1 without a call of `fn`. */
int stream_state(struct store *store, const struct stream_ask *ask, stream_state_fn *fn, void *arg)
    __attribute__((warn_unused_result));

/* Cuts the next writer, and its last call, off *writers; false at the end. */
bool stream_next_writer(struct span *writers, struct span *node, uint64_t *call);

#endif
