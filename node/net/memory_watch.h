/* SPDX-License-Identifier: MIT */
/* memory_watch: what a node does when memory gets short. Above the limit no new client is let in,
 * and the clients with the most to read are closed (1013), largest queues first, until there is
 * room: few slow readers go, instead of all clients with a node that the system kills.
 *
 * It looks each second, and as soon as so much was queued that a part of the limit may be gone. */
#ifndef MUSTER_NODE_NET_MEMORY_WATCH_H
#define MUSTER_NODE_NET_MEMORY_WATCH_H

#include "node/net/net.h"

#include <stdbool.h>
#include <stdint.h>

struct memory_watch;

/* New; `net` is borrowed. `limit` in bytes of resident memory; 0: none; -1: nine tenths of what the
 * control group may use, of which all that is in the group counts. Free it before the net. */
struct memory_watch *memory_watch_new(struct net *net, int64_t limit);
void memory_watch_free(struct memory_watch **watch);

/* Is the limit reached, as last seen? */
bool memory_watch_is_short(const struct memory_watch *watch);

#endif
