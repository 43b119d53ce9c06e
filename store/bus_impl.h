/* SPDX-License-Identifier: MIT */
/* What the store and its other words need of the bus; services include bus.h. */
#ifndef MUSTER_STORE_BUS_IMPL_H
#define MUSTER_STORE_BUS_IMPL_H

#include "store/bus.h"
#include "store/shard_set.h"
#include "store/way.h"

#include <stdbool.h>

void bus_init(struct store *store);
void bus_deinit(struct store *store);

/* Both links of the server of these shards went up or down. */
void bus_on_link(struct store *store, const struct shard_set *which, bool up);

/* Sends the subscriptions gathered in this turn. */
void bus_flush(struct store *store);

/* Like bus_subscribe for a channel that is not a topic: `payload` is all that was published. The
 * name is the whole channel. */
struct bus_sub *bus_channel_subscribe(struct store *store, unsigned shard, struct span channel,
                                      bus_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* Cuts the head, "W node link ...", off a message of `shard`: *origin is the node, *head what stands
 * behind the link. False where it is to be dropped: it cannot be read, or is late. */
bool bus_take_head(struct store *store, unsigned shard, struct span *message, struct span *origin,
                   struct span *head);

/* For way.c, of what is attended at `shard`: the inbox is heard or not, something was missed, an item
 * came in. */
void bus_attended_link(struct store *store, unsigned shard, bool up);
void bus_attended_gap(struct store *store, unsigned shard);
void bus_attended_item(struct store *store, const struct way_item *item);

#endif
