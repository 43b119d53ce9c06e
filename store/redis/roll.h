/* SPDX-License-Identifier: MIT */
/* redis roll: what a link says on the roll of its server (roll.lua), and what it hears there of the
 * other nodes. */
#ifndef MUSTER_STORE_REDIS_ROLL_H
#define MUSTER_STORE_REDIS_ROLL_H

#include "store/redis/eval.h"

enum roll_verb { ROLL_BE_IN, ROLL_ASK, ROLL_LEAVE };

enum roll_answer { ROLL_WELCOME, ROLL_LATER, ROLL_NEVER, ROLL_OTHER_LIST };

/* What the others speak. */
struct redis_roll {
    unsigned nodes;    /* how many others there are */
    unsigned from, to; /* forms that one of them reads, at least */
    unsigned shared;   /* the newest form that all of them read */
    unsigned writes;   /* the newest form that one of them writes */
    struct span list;  /* OTHER_LIST: the servers of the fleet; borrowed with the answer */
};

/* What a fleet in a cluster keeps as the list of its servers: by which channels it speaks. */
#define REDIS_LIST_SLOTS "cluster, channels of slots"
#define REDIS_LIST_PLAIN "cluster, channels of all"

/* Begins `call` for one visit of `store` to the roll of `shard`. */
void redis_roll_begin(struct redis_script *call, const struct store *store, unsigned shard,
                      enum roll_verb verb);

/* Reads the answer of roll.lua; what is none is ROLL_NEVER with an empty roll. */
enum roll_answer redis_roll_read(struct span text, struct redis_roll *roll);

/* "the fleet speaks 1 to 2, this node 3", or which servers the fleet has */
void redis_roll_print(const struct redis_roll *roll, const struct store *store, struct buf *out);

/* Tells the store what the roll of `shard` said, and says whether this node may go on: `is_in`, it was let
 * in before, and is not sent away for a form that it is about to write no more. If not, `refusal` gets
 * why. */
bool redis_roll_take(const struct redis_roll *roll, enum roll_answer answer, bool is_in,
                     struct store *store, unsigned shard, struct buf *refusal);

#endif
