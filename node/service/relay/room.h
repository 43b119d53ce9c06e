/* SPDX-License-Identifier: MIT */
/* room: the seats of a network that its packets go to. A packet is copied once, and each seat's pacing
 * queues a reference of it. */
#ifndef MUSTER_NODE_SERVICE_RELAY_ROOM_H
#define MUSTER_NODE_SERVICE_RELAY_ROOM_H

#include "node/core/metrics.h"
#include "node/service/relay/paced.h"
#include "store/base/list.h"

#include <stdint.h>

/* Lives inside the seat. */
struct relay_receiver {
    struct list entry;
    struct relay_paced *paced; /* borrowed */
};

struct relay_room {
    struct list receivers; /* struct relay_receiver */
    uint32_t count;
    struct metrics *metrics; /* borrowed */
};

void relay_room_init(struct relay_room *room, struct metrics *metrics);

/* `receiver` is in no room; `paced` is borrowed until relay_room_remove. */
void relay_room_add(struct relay_room *room, struct relay_receiver *receiver,
                    struct relay_paced *paced);
void relay_room_remove(struct relay_room *room, struct relay_receiver *receiver);

/* Sends bytes as they are to all but `except`, which may be NULL. Returns to how many. */
uint32_t relay_room_send(struct relay_room *room, struct span bytes, struct relay_paced_mark mark,
                         const struct relay_receiver *except);

#endif
