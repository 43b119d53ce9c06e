/* SPDX-License-Identifier: MIT */
/* relay_network: one chat network as this node sees it: the directory of all servers in the
 * cluster, the servers connected here, and what they say to each other.
 *
 *     join -> identifier -> roster claim -> the view has it -> admitted() with the directory as of
 *                                                              that version -> in the room
 *     a later change of the view -> connection or disconnect to the room
 *     say -> room here, and over the bus -> the other nodes' rooms
 *
 * The invariant: each server in the room has been told of exactly the servers in the directory,
 * itself left out. So a packet may go to the room when its sender stands in the directory. What
 * comes over the bus from a server that does not yet stand in it is kept until it does; what comes
 * from one that is gone runs out there.
 *
 * The wire's words are relay.c's; it hands in how they are printed. */
#ifndef MUSTER_NODE_SERVICE_RELAY_NETWORK_H
#define MUSTER_NODE_SERVICE_RELAY_NETWORK_H

#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "node/net/limit.h"
#include "node/service/relay/room.h"
#include "store/base/buf.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct relay_network;

/* A server in the directory; all borrowed. */
struct relay_server {
    uint64_t id;      /* 1 to 2^53 - 1, so that JavaScript's numbers hold it */
    uint64_t players; /* as it said when it came */
    struct span look; /* how it is to be shown: relay.c's, opaque here */
    struct span node; /* where it is connected */
};

/* The part of a connected server that the network keeps; lives inside relay.c's object. */
struct relay_seat {
    struct relay_receiver member;
    struct list entry;             /* all, or all that wait, of the network */
    struct relay_network *network; /* NULL: in none */
    struct relay_paced *out;
    struct address peer; /* its address, for the rate of joins */
    uint64_t id, players;
    uint64_t claimed_ms; /* when it was claimed, of a clock that never jumps */
    char *look;
    bool paid;    /* the rate of its address let it pass */
    bool claimed; /* the directory is asked for it */
    bool in_room; /* it was admitted */
};

struct relay_network_options {
    struct store *store;            /* borrowed */
    struct metrics *metrics;        /* borrowed */
    const char *node;               /* this node's name, borrowed */
    struct loop *loop;              /* borrowed */
    struct limit_table *by_address; /* of joins, for all networks; borrowed */
    uint32_t joins; /* a second in this network, ten times as many at a stretch; 0: any */
    /* Writes the packet that tells of a server that came, or went. */
    void (*print_arrival)(const struct relay_server *server, struct buf *out);
    void (*print_departure)(uint64_t id, struct buf *out);
    /* Has the peer left already? Such a seat is not claimed, nor admitted; it is to be closed after
     * this turn. */
    bool (*has_left)(struct relay_seat *seat);
    /* The directory has the seat: tell it which servers are there (relay_network_each). What is
     * sent to it next are the changes from there on. */
    void (*admitted)(struct relay_seat *seat);
    /* The directory lost the seat, or has it again: in between, no receiver would take its
     * packets. */
    void (*listed)(struct relay_seat *seat, bool listed);
    /* Its identifier went to another server; to be closed. */
    void (*displaced)(struct relay_seat *seat);
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

/* A seat that is in no network is left as it is. */
void relay_network_leave(struct relay_seat *seat);

/* Relays `packet` of the seat, which is admitted and listed, to all other servers. */
void relay_network_say(struct relay_seat *seat, struct span packet);

/* Calls `fn` with every server of the directory, in no order. */
void relay_network_each(const struct relay_network *network,
                        void (*fn)(void *arg, const struct relay_server *server), void *arg);

/* The same with the servers that are connected here and admitted, in the order in which they
 * came. */
void relay_network_each_here(const struct relay_network *network,
                             void (*fn)(void *arg, const struct relay_server *server), void *arg);

#endif
