/* SPDX-License-Identifier: MIT */
/* sync_ranks: sessions in the order of their members, kept as these change, so that the busiest are at
 * hand however many there are.
 *
 *     lists[0] lists[1] ... lists[n]: those of n members ... the last list: those of RANKS - 1 and more
 */
#ifndef MUSTER_NODE_SERVICE_SYNC_RANKS_H
#define MUSTER_NODE_SERVICE_SYNC_RANKS_H

#include "store/base/list.h"

#include <stddef.h>
#include <stdint.h>

enum { SYNC_RANKS = 512 };

/* Lives inside the session. */
struct sync_rank {
    struct list entry;
    uint32_t members;
};

struct sync_ranks {
    struct list lists[SYNC_RANKS];
    size_t count;    /* of all of them */
    uint64_t looked; /* how many were looked at so far, to find the busiest */
};

void sync_ranks_init(struct sync_ranks *ranks);

/* Stands in no order yet. */
void sync_rank_init(struct sync_rank *rank);

/* It has so many members now. */
void sync_ranks_put(struct sync_ranks *ranks, struct sync_rank *rank, uint32_t members);

/* Takes it out; nothing happens where it is out. */
void sync_ranks_drop(struct sync_ranks *ranks, struct sync_rank *rank);

/* Writes up to `most` to `out`, borrowed, the one with the most members first; returns how many. */
size_t sync_ranks_first(struct sync_ranks *ranks, struct sync_rank **out, size_t most);

#endif
