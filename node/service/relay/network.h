/* SPDX-License-Identifier: MIT */
/* relay_network: one chat network as this node sees it: the directory of all servers in the
 * cluster, the servers connected here, and what they say to each other.
 *
 *     join -> identifier -> roster claim -> the view has it -> admitted with the directory as of
 *                                                              that version -> in the room
 *     a later change of the view -> connection or disconnect to the room
 *     say -> room here, and over the bus -> the other nodes' rooms
 *
 * The invariant: each server in the room has been told of exactly the servers in the directory,
 * itself left out, or the room's line has the rest. So a packet may go to the room when its sender
 * stands in the directory. What
 * comes over the bus from a server that does not yet stand in it is kept until it does; what comes
 * from one that is gone runs out there. */
#ifndef MUSTER_NODE_SERVICE_RELAY_NETWORK_H
#define MUSTER_NODE_SERVICE_RELAY_NETWORK_H

#include "node/core/metrics.h"
#include "node/net/limit.h"
#include "node/net/net.h"
#include "node/service/relay/seat.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct relay_network;

struct relay_network_options {
    struct store *store;            /* borrowed */
    struct metrics *metrics;        /* borrowed */
    const char *node;               /* this node's name, borrowed */
    struct net *net;                /* borrowed */
    struct limit_table *by_address; /* of joins, for all networks; borrowed */
    uint32_t joins; /* a second in this network, ten times as many at a stretch; 0: any */
};

/* New; `name` (copied) names the network in the whole cluster. */
struct relay_network *relay_network_new(struct span name,
                                        const struct relay_network_options *options);

/* Frees; no seat may be left. */
void relay_network_free(struct relay_network **network);

struct span relay_network_name(const struct relay_network *network);

/* Gives the seat an identifier that no server of the network has and asks for its admission, as
 * soon as the rates of joins allow. `look` and `peer` are copied, `out` is borrowed until
 * relay_network_leave. */
void relay_network_join(struct relay_network *network, struct relay_seat *seat,
                        struct relay_paced *out, const struct address *peer, struct span look,
                        uint64_t players);

/* It waits for nothing but the rates of joins. */
bool relay_network_is_held_back(const struct relay_seat *seat);

/* What was said until now and is still to be told to the seat is told: for one that is to hear it out. */
void relay_network_tell_rest(struct relay_seat *seat);

/* A seat that is in no network is left as it is. */
void relay_network_leave(struct relay_seat *seat);

/* Relays `packet` of the seat, which is admitted and listed, to all other servers. */
void relay_network_say(struct relay_seat *seat, struct span packet);

/* The directory, struct relay_server by identifier; and the seats that are connected here and
 * admitted, struct relay_seat, in the order in which they came. Borrowed. */
const struct map *relay_network_directory(const struct relay_network *network);
const struct list *relay_network_seats(const struct relay_network *network);

/* How many seats that list has. */
uint32_t relay_network_admitted(const struct relay_network *network);

#endif
