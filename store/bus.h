/* SPDX-License-Identifier: MIT */
/* bus: publish/subscribe by topic. The first local subscriber of a topic subscribes at the server,
 * the last one unsubscribes, so a node's traffic grows with what its own clients need.
 *
 * Messages of one publisher on one topic arrive in order, each at most once. They can be lost only
 * where BUS_GAP is reported. */
#ifndef MUSTER_STORE_BUS_H
#define MUSTER_STORE_BUS_H

#include "store/base/span.h"

#include <stddef.h>

struct store;

struct bus_sub;

enum bus_event {
    BUS_READY,   /* subscribed: whatever is published from now on arrives. Also after each BUS_GAP,
                    when healed */
    BUS_MESSAGE, /* `payload` came in */
    BUS_GAP,     /* the link was lost: messages may be missing until BUS_READY comes again */
};

/* `payload` is borrowed until return, and empty but for BUS_MESSAGE. The subscriber may unsubscribe
 * any subscription, this one too, inside. */
typedef void bus_fn(void *arg, enum bus_event event, struct span payload);

enum bus_echo {
    BUS_NO_ECHO, /* what this store itself publishes does not come back */
    BUS_ECHO,
};

/* New subscription; `topic` (any bytes, 1 to 512) is copied. Several per topic are fine. */
struct bus_sub *bus_subscribe(struct store *store, struct span topic, enum bus_echo echo,
                              bus_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* The same for a topic whose messages come by ways, from crowds of that name (store/crowd.h), and never
 * from this node. It costs no subscription at the server. BUS_GAP, with BUS_READY right behind it, also
 * says that other nodes may have taken this one for dead, or that a message got lost. */
struct bus_sub *bus_attend(struct store *store, struct span topic, bus_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* Ends *sub and nulls it; NULL inside is fine. No event comes after this. */
void bus_unsubscribe(struct bus_sub **sub);

/* New subscription that gets no messages, only BUS_READY and BUS_GAP of the way on which messages
 * published to `topic` go: what was published before a BUS_GAP may have been lost. Where topics
 * live on several servers each topic needs its own. */
struct bus_sub *bus_follow(struct store *store, struct span topic, bus_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* Bytes published on the way of `topic` that the system has not taken yet: a publisher of much
 * waits while they are many, since bus_publish refuses what would make them too many (16 MiB). */
size_t bus_queued(const struct store *store, struct span topic);

/* Publishes without waiting. 0, or -1 when it surely reaches no other process: the link is down or
 * its queue full. */
int bus_publish(struct store *store, struct span topic, struct span payload);

#endif
