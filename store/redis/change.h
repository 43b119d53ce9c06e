/* SPDX-License-Identifier: MIT */
/* redis change: a list of servers that changes while nodes run, "old;new" (docs/store.md#a-list-that-changes):
 * which partitions are still where the old list has them, and which are where the new one does.
 *
 *     each server's link up --asked: what has left, what came?--> up for the store
 *     "gone" at the old server --"here" at the new one--> the partition's owner changes
 *     all nodes know of the change, and something has not moved --> mover.c moves it
 *
 * A server's link counts as up once it has said so, and, while partitions move, once those that it gives
 * partitions to were heard after it came up: it may have lost what it knew of them. */
#ifndef MUSTER_STORE_REDIS_CHANGE_H
#define MUSTER_STORE_REDIS_CHANGE_H

#include "store/redis/route.h"

struct redis_change;

/* New, with links to all servers of `url`, which has a list that changes; sets the owners of the backend, and
 * `routes`, one for each server. All is borrowed for its life. */
struct redis_change *
redis_change_new(struct backend *backend, struct redis_route *routes, const struct redis_url *url,
                 const struct redis_tls_files *files, struct resolver *resolver)
    __attribute__((returns_nonnull, warn_unused_result));

/* Frees its links, too. */
void redis_change_free(struct redis_change **change);

/* Which shard has each partition in the old list (`after` false) or in the new one. */
void redis_change_share_out(const struct redis_url *url, bool after, uint8_t owner[PARTITIONS]);

#endif
