/* SPDX-License-Identifier: MIT */
/* redis mover: moves some partitions from one server of a list that changes to another one, or deletes what
 * has left a server. One attempt, which may end in vain at any step: until "commit" nothing has happened
 * that counts.
 *
 *     begin at the old one                 no other node moves from it
 *     open, clear at the new one           nothing of an earlier attempt counts there
 *     lane --> put ...                     the log stream's entries, for they are many
 *     hold at the old one                  from here on the partitions are not touched there (fence.lua)
 *     take --> put ...  lane --> put ...   what they have
 *     close at the new one                 nothing is put any more
 *     commit at the old one                they have left it, if they were held all the time
 *     here at the new one
 *
 * (docs/store.md#a-list-that-changes; tests/model/model_move.py has each rule left out.) */
#ifndef MUSTER_STORE_REDIS_MOVER_H
#define MUSTER_STORE_REDIS_MOVER_H

#include "store/redis/route.h"
#include "store/shard_set.h"

enum {
    MOVER_BATCH = 8
}; /* partitions that are held together: each needs a look at all keys of the server */

struct redis_mover;

struct redis_mover_plan {
    const struct redis_route *from,
        *to; /* past the fence; `to` NULL: what has left `from` is deleted */
    struct shard_set partitions;
};

/* It is over: all of it was done, or not. The mover is to be freed, and may be inside. */
typedef void redis_mover_fn(void *arg, bool done);

struct redis_mover *redis_mover_new(struct store *store, const struct redis_mover_plan *plan,
                                    redis_mover_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* The link to that server fell: what was said over it may be forgotten there, so this attempt is over. */
void redis_mover_let_go(struct redis_mover *mover, unsigned shard);

/* Nulls; NULL inside is fine. An attempt that is not over ends without `fn`. */
void redis_mover_free(struct redis_mover **mover);

#endif
