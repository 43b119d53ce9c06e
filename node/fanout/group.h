/* SPDX-License-Identifier: MIT */
/* group: the receivers that one message goes to. Encoding happens once per message, queueing once
 * per receiver; a receiver over its queue limit is closed, so that it does not harm the others. */
#ifndef MUSTER_NODE_FANOUT_GROUP_H
#define MUSTER_NODE_FANOUT_GROUP_H

#include "node/core/metrics.h"
#include "node/fanout/message.h"
#include "node/proto/ws/ws.h"
#include "store/base/list.h"

#include <stdint.h>

enum { GROUP_BULK_FROM = 64 }; /* receivers: a message to so many can wait for those to few */

/* Lives inside the receiver's object. */
struct receiver {
    struct list entry;
    struct ws *ws; /* borrowed */
};

struct group {
    struct list receivers; /* struct receiver */
    uint32_t count;
    struct metrics *metrics; /* borrowed */
};

void group_init(struct group *group, struct metrics *metrics);

/* `receiver` is in no group; `ws` is borrowed until group_remove. */
void group_add(struct group *group, struct receiver *receiver, struct ws *ws);
void group_remove(struct group *group, struct receiver *receiver);

/* Sends a text message to the receivers that `wants` (NULL: all) says yes to. Returns to how many. */
uint32_t group_send(struct group *group, struct span text,
                    bool (*wants)(struct receiver *receiver));

/* The same, but what goes to others may be written first: for what many groups are sent at once. */
uint32_t group_send_late(struct group *group, struct span text,
                         bool (*wants)(struct receiver *receiver));

/* Sends one message to one receiver. */
void group_send_one(struct receiver *receiver, struct shared_message *message);

#endif
