/* SPDX-License-Identifier: MIT */
/* stream whole: what a caller appends, which may lie in several parts of the stream. Each part that has
 * a share of it says what became of that; with the last one the caller is told of all. */
#ifndef MUSTER_STORE_STREAM_WHOLE_H
#define MUSTER_STORE_STREAM_WHOLE_H

#include "store/stream_types.h"

struct stream_whole;

/* New, with one reference and no share. */
struct stream_whole *stream_whole_new(stream_append_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* One more share, which bears a reference of its own. */
struct stream_whole *stream_whole_share(struct stream_whole *whole)
    __attribute__((returns_nonnull, warn_unused_result));

/* A share for these lanes (a bit for each) is concluded, and its reference gone. `tell`: the caller is
 * told, if it was the last share. */
void stream_whole_conclude(struct stream_whole *whole, uint64_t lanes, enum stream_outcome outcome,
                           bool tell);

/* So it is with these lanes, which have no share. */
void stream_whole_note(struct stream_whole *whole, uint64_t lanes, enum stream_outcome outcome);

/* Lets go of a reference, and the caller hears nothing. NULL is fine. */
void stream_whole_unref(struct stream_whole *whole);

#endif
