/* SPDX-License-Identifier: MIT */
/* redis moves: the visits to what a server keeps of partitions on their way (moves.lua). */
#ifndef MUSTER_STORE_REDIS_MOVES_H
#define MUSTER_STORE_REDIS_MOVES_H

#include "store/redis/script.h"
#include "store/shard_set.h"

enum {
    MOVES_HOLD_MS = 2000
}; /* for which partitions are held for a mover that says nothing more */

/* How far the change is at a server. */
enum moves_phase { MOVES_UNKNOWN, MOVES_BEFORE, MOVES_MOVING, MOVES_AFTER };

struct redis_moves {
    enum moves_phase phase;
    bool swept;                  /* what has left is deleted */
    bool busy;                   /* a node moves something from it just now */
    struct shard_set gone, here; /* partitions that left, that came */
};

/* Begins a visit for one attempt (`token`, empty: none) and these partitions. */
void redis_moves_begin(struct redis_script *call, const struct store *store, const char *verb,
                       struct span token, const struct shard_set *partitions);

/* Reads the answer to "?". 0, or -1 when it is none. */
int redis_moves_read(struct span text, struct redis_moves *moves)
    __attribute__((warn_unused_result));

#endif
