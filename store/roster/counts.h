/* SPDX-License-Identifier: MIT */
/* roster counts: of what happens to all keys of a shard at once (past.c). */
#ifndef MUSTER_STORE_ROSTER_COUNTS_H
#define MUSTER_STORE_ROSTER_COUNTS_H

#include <stdint.h>

/* How often each of these happened to a shard, as far as its keys are concerned; in a key: that it has
 * seen. */
struct roster_past {
    uint32_t downs, ups; /* of its links */
    uint32_t moves;      /* of the ups: to another server */
    uint32_t renames;    /* of the leases there: this node has another token, or may need one */
    uint32_t others;     /* of these: the server may lack what it was told */
    uint32_t judged;     /* other nodes live */
    uint32_t holds;      /* what is held is held for one more lease */
};

#endif
