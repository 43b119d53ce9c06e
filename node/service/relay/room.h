/* SPDX-License-Identifier: MIT */
/* room: the seats of a network that its packets go to, and what is still to be told to them.
 *
 *     relay_room_send --> the end of the line --> from its front --> pacing of each seat
 *
 * A packet is copied once, and each seat's pacing queues a reference of it. Some are told at once; the
 * rest of many packets to many seats goes on in steps (net/work.h), so that no turn is long. All go
 * through one line: each seat is told in the order in which they were sent, and one that came later is
 * told what was sent since. */
#ifndef MUSTER_NODE_SERVICE_RELAY_ROOM_H
#define MUSTER_NODE_SERVICE_RELAY_ROOM_H

#include "node/core/metrics.h"
#include "node/net/work.h"
#include "node/service/relay/paced.h"
#include "store/base/cursor.h"

#include <stdint.h>

enum {
    RELAY_ROOM_TOLD_MOST = 2048, /* deliveries at once in one turn */
    RELAY_ROOM_LINE_MOST = 8192, /* packets in the line; one more, and the first is told at once */
    RELAY_ROOM_TALK_MOST = 4 * 1024 * 1024, /* bytes of talk in it; more talk is dropped */
};

/* Lives inside the seat. */
struct relay_receiver {
    struct list entry;
    struct relay_paced *paced; /* borrowed */
    uint64_t number;           /* of the room: its own, and what is sent later has greater ones */
};

struct relay_room {
    struct net *net;         /* borrowed */
    struct metrics *metrics; /* borrowed */
    struct list receivers;   /* struct relay_receiver, in the order in which they came */
    uint32_t count;
    struct list line; /* packets that not all were told, the first one first */
    struct cursor at; /* in `receivers`: who is told the first of the line next */
    uint32_t line_count;
    size_t talk;     /* bytes of talk in the line */
    uint64_t number; /* the last one that a receiver or a packet got */
    uint64_t turn;   /* of the loop, in which the room told something at once last, */
    uint32_t told;   /* and how many times */
    struct net_work rest;
};

/* `net` and `metrics` are borrowed. */
void relay_room_init(struct relay_room *room, struct net *net, struct metrics *metrics);

/* What was not told is dropped. */
void relay_room_deinit(struct relay_room *room);

/* `receiver` is in no room; `paced` is borrowed until relay_room_remove. */
void relay_room_add(struct relay_room *room, struct relay_receiver *receiver,
                    struct relay_paced *paced);
void relay_room_remove(struct relay_room *room, struct relay_receiver *receiver);

/* Tells the receiver all that it was not told yet, before it is removed. */
void relay_room_tell_rest(struct relay_room *room, const struct relay_receiver *receiver);

/* Sends bytes as they are to all who are in it now but `except`, which may be NULL. */
void relay_room_send(struct relay_room *room, struct span bytes, struct relay_paced_mark mark,
                     const struct relay_receiver *except);

#endif
