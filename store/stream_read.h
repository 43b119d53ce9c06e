/* SPDX-License-Identifier: MIT */
/* stream read: questions to one part of the stream (stream_part.h): for the sink, and for stream_follow.h,
 * which hides the parts from those who only listen. */
#ifndef MUSTER_STORE_STREAM_READ_H
#define MUSTER_STORE_STREAM_READ_H

#include "store/stream_types.h"

struct store;

/* Does the part's server answer? It may be full: what is there can be read nevertheless. */
bool stream_reached(const struct store *store, unsigned part);

/* Reads at most `most` entries of each of the lanes, in one step. 0, or -1 without a call of `fn`.
 */
int stream_read(struct store *store, unsigned part, const struct stream_from *from, size_t lanes,
                size_t most, stream_read_fn *fn, void *arg) __attribute__((warn_unused_result));

/* The same backwards in one lane: entries up to `last`, newest first. */
int stream_read_back(struct store *store, unsigned part, unsigned lane, uint64_t last, size_t most,
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
int stream_state(struct store *store, unsigned part, const struct stream_ask *ask,
                 stream_state_fn *fn, void *arg) __attribute__((warn_unused_result));

/* Cuts the next writer, and its last call, off *writers; false at the end. */
bool stream_next_writer(struct span *writers, struct span *node, uint64_t *call);

#endif
