/* SPDX-License-Identifier: MIT */
/* stream place: where a reader of one lane stands: in whose history, how far, and what it has had of
 * each writer. It notices a fork, goes back to the last place that both histories share, and takes
 * from there what was not had (docs/store.md). No I/O. */
#ifndef MUSTER_STORE_STREAM_PLACE_H
#define MUSTER_STORE_STREAM_PLACE_H

#include "store/base/map.h"
#include "store/stream_types.h"

struct stream_place {
    struct stream_history history;
    uint64_t seq, ordinal; /* of the last entry taken */
    bool whole;            /* read from the stream's beginning: what is not there is missing */
    struct map writers;
};

void stream_place_init(struct stream_place *place);

/* Forgets all: the beginning, in no history yet. */
void stream_place_reset(struct stream_place *place);
void stream_place_deinit(struct stream_place *place);

/* False when `head` is of another history than the place: what was read is of no use. */
bool stream_place_is_in(const struct stream_place *place, const struct stream_head *head);

/* True when the place is in a stream of another identity: that one is gone. */
bool stream_place_is_elsewhere(const struct stream_place *place, const struct stream_head *head);

/* Moves the place into that history: back to what both share, or to the beginning of a stream of
 * another identity. A place in no history yet takes it as its own. */
void stream_place_follow(struct stream_place *place, const struct stream_head *head);

/* Of `node` all up to this was had: where a place is taken, or read from where it was kept. */
void stream_place_learn(struct stream_place *place, struct span node, uint64_t call,
                        uint32_t index);

/* Goes behind the entry. False when it was had before. *missing: entries of the lane that were
 * skipped, because they are gone. */
bool stream_place_take(struct stream_place *place, const struct stream_entry *entry,
                       uint64_t *missing);

#endif
