/* SPDX-License-Identifier: MIT */
/* list change: how far a list of servers is that changes while nodes run
 * (docs/store.md#a-list-that-changes). */
#ifndef MUSTER_STORE_LIST_CHANGE_H
#define MUSTER_STORE_LIST_CHANGE_H

#include "store/shard_set.h"

struct buf;
struct store;

/* A list of servers that changes, as redis/change.c sees it; all zero: it stays. */
struct store_change {
    const char *before, *after;                /* the lists, as servers keep them; borrowed */
    const uint8_t *owner_before, *owner_after; /* of each partition; borrowed */
    struct shard_set was;                      /* servers of the old list */
    struct shard_set begun;                    /* servers where all know of the change */
    bool moving;                               /* those are all */
    bool done;             /* all partitions have moved, and nothing of them is left behind */
    bool over;             /* all servers know so: the new list counts */
    unsigned waiting, all; /* partitions that have to move, that had to */
};

/* How many partitions have still to go to another server. */
unsigned store_partitions_waiting(const struct store *store);

/* Appends "the list of servers changes: 37 of 131 partitions have moved"; nothing where the list stays. */
void store_print_change(const struct store *store, struct buf *out);

#endif
