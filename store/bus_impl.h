/* SPDX-License-Identifier: MIT */
/* What the store and its other words need of the bus; services include bus.h. */
#ifndef MUSTER_STORE_BUS_IMPL_H
#define MUSTER_STORE_BUS_IMPL_H

#include "store/bus.h"
#include "store/shard_set.h"

#include <stdbool.h>

void bus_init(struct store *store);
void bus_deinit(struct store *store);

/* Both links of the server of these shards went up or down. */
void bus_on_link(struct store *store, const struct shard_set *which, bool up);

/* As store_on_owner. */
void bus_on_owner(struct store *store);

/* Sends the subscriptions gathered in this turn. */
void bus_flush(struct store *store);

/* Like bus_subscribe for a channel that is not a topic: `payload` is all that was published. The
 * name is the whole channel. */
struct bus_sub *bus_channel_subscribe(struct store *store, unsigned shard, struct span channel,
                                      bus_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* Something for this node was missed by way of its inbox at `shard`: what is attended there hears of a
 * gap. */
void bus_attended_gap(struct store *store, unsigned shard);

#endif
