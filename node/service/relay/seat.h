/* SPDX-License-Identifier: MIT */
/* relay_seat: a game server's connection as its network sees it. The network keeps the seat and says
 * with the functions below what becomes of it; client.c has the connection around it and does that. */
#ifndef MUSTER_NODE_SERVICE_RELAY_SEAT_H
#define MUSTER_NODE_SERVICE_RELAY_SEAT_H

#include "node/net/address.h"
#include "node/service/relay/room.h"
#include "store/base/buf.h"
#include "store/base/list.h"
#include "store/base/map.h"

#include <stdbool.h>
#include <stdint.h>

struct relay_network;

struct relay_seat {
    struct relay_receiver member;  /* of the room, once it is admitted */
    struct list entry;             /* one of the network's lists, by what it waits for */
    struct map_node by_id;         /* all of the network */
    struct relay_network *network; /* NULL: in none */
    struct relay_paced *out;
    struct address peer; /* its address, for the rate of joins */
    uint64_t id, players;
    uint64_t claimed_ms; /* when it was claimed, of a clock that never jumps */
    char *look;
    bool paid;    /* the rate of its address let it pass */
    bool claimed; /* the directory is asked for it */
};

/* A server in the directory. */
struct relay_server {
    struct map_node entry;   /* in the directory, by the bytes of `id` */
    uint64_t id;             /* 1 to 2^53 - 1, so that JavaScript's numbers hold it */
    uint64_t players;        /* as it said when it came */
    struct span look;        /* how it is to be shown: the members of a JSON object, borrowed */
    struct span node;        /* where it is connected, borrowed */
    char *value;             /* what the spans lie in; the network's */
    struct buf known;        /* what others are told of it when they come; the network's */
    struct relay_seat *seat; /* connected here, or NULL */
};

/* Has the peer left already? Such a seat is not claimed, nor admitted; it is closed after this
 * turn. */
bool relay_seat_has_left(struct relay_seat *seat);

/* The directory has the seat: it is told which servers are there. What is sent to it next are the
 * changes from there on. */
void relay_seat_admitted(struct relay_seat *seat);

/* The directory lost the seat, or has it again: in between, no receiver would take its packets. */
void relay_seat_listed(struct relay_seat *seat, bool listed);

/* Its identifier went to another server: closes it. */
void relay_seat_displaced(struct relay_seat *seat);

#endif
