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

struct store;
struct way;

struct way_item {
    struct span topic, payload;
    uint64_t age_us;
};

/* The way to `node` by the inboxes at `shard`, with one more reference. */
struct way *way_get(struct store *store, unsigned shard, struct span node)
    __attribute__((returns_nonnull, warn_unused_result));

struct way *way_ref(struct way *way) __attribute__((returns_nonnull));

/* One reference less. */
void way_unref(struct way *way);

/* Sends the item when the turn ends. */
void way_send(struct way *way, const struct way_item *item);

/* Is this node's inbox at `shard` heard? It is opened when that is first asked for, and stays. */
bool way_hears(struct store *store, unsigned shard);

/* For bus.c: the link of these shards went up or down. */
void ways_on_link(struct store *store, const struct shard_set *which, bool up);

/* For store.c. */
void ways_init(struct store *store);
void ways_deinit(struct store *store);

/* Cuts the next item off a parcel behind its first line. 1, 0 at the end, or -1 where it is none. */
int way_next(struct span *rest, struct way_item *item) __attribute__((warn_unused_result));

#endif
