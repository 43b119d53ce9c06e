/* SPDX-License-Identifier: MIT */
/* relay_early: packets whose sender is not known yet, for a while and up to a bound. */
#ifndef MUSTER_NODE_SERVICE_RELAY_EARLY_H
#define MUSTER_NODE_SERVICE_RELAY_EARLY_H

#include "node/service/relay/room.h"
#include "store/base/list.h"
#include "store/base/map.h"
#include "store/base/span.h"

#include <stddef.h>
#include <stdint.h>

enum {
    RELAY_EARLY_BYTES = 1024 * 1024, /* in all, with what each one costs */
    RELAY_EARLY_MS = 10 * 1000,
};

struct relay_early {
    struct list packets; /* the oldest first */
    struct map senders;  /* by identifier; those of whom packets are kept */
    size_t bytes;
};

void relay_early_init(struct relay_early *early);
void relay_early_deinit(struct relay_early *early);

/* Keeps a copy; what is too old or over the bound goes, the oldest first. Returns how many went. */
unsigned relay_early_add(struct relay_early *early, uint64_t sender, struct span packet,
                         uint64_t now_ms);

/* Sends the packets of that sender that are not too old to the room, in order, and forgets them. */
void relay_early_send(struct relay_early *early, uint64_t sender, uint64_t now_ms,
                      struct relay_room *room);

#endif
