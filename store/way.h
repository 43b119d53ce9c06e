/* SPDX-License-Identifier: MIT */
/* way: from this node to another one, by way of a server. Each node has an inbox there, one channel;
 * what one turn of the loop has for it goes as one message, a parcel:
 *
 *     W node link number\n          of the speaker; the number counts what it says on this way
 *     name-length length age\n      of each item: of its topic and its payload; age in microseconds,
 *     name payload                  0: it is new
 *
 * A parcel whose number does not follow on the last one's says that one is missing: the topics that
 * are attended hear of a gap. Numbers begin again with each link. */
#ifndef MUSTER_STORE_WAY_H
#define MUSTER_STORE_WAY_H

#include "store/base/span.h"
#include "store/shard_set.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct store;
struct bus_way;

struct way_item {
    struct span topic, payload;
    uint64_t age_us;
};

/* The way to `node` by the inboxes at `shard`, with one more reference. */
struct bus_way *way_get(struct store *store, unsigned shard, struct span node)
    __attribute__((returns_nonnull, warn_unused_result));

struct bus_way *way_ref(struct bus_way *way) __attribute__((returns_nonnull));

/* One reference less. */
void way_unref(struct bus_way *way);

/* Sends the item when the turn ends. */
void way_send(struct bus_way *way, const struct way_item *item);

/* Appends the name of a node's inbox at `shard`. It has the tag of the shard's first partition: the same
 * on all nodes, and another one for each shard. Of a list that changes: of the old one, or (`next`) of the new
 * one; a node hears both, and is spoken to by the new one where all know of the change. */
void way_inbox(const struct store *store, unsigned shard, bool next, struct span node,
               struct buf *out);

/* The link of these shards went up or down: what waited is over, and numbers begin again. */
void ways_on_link(struct store *store, const struct shard_set *which);

/* For open.c. */
void ways_init(struct store *store);
void ways_deinit(struct store *store);

/* Cuts the next item off a parcel behind its first line. 1, 0 at the end, or -1 where it is none. */
int way_next(struct span *rest, struct way_item *item) __attribute__((warn_unused_result));

#endif
