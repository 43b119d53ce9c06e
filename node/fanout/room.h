/* group: the receivers that one message goes to. Encoding happens once per message, queueing once per
 * receiver; a receiver over its queue limit is closed, so that it harms nobody else. */
#ifndef MUSTER_NODE_FANOUT_ROOM_H
#define MUSTER_NODE_FANOUT_ROOM_H

#include "node/core/metrics.h"
#include "node/fanout/frame.h"
#include "node/fanout/paced.h"
#include "node/proto/ws.h"
#include "store/base/list.h"

#include <stdint.h>

/* Lives inside the receiver's object. */
struct receiver {
    struct list entry;
    struct ws *ws;             /* borrowed; NULL: a raw TCP peer */
    struct relay_paced *paced; /* borrowed; NULL: a WebSocket */
};

struct group {
    struct list receivers; /* struct receiver */
    uint32_t count;
    struct metrics *metrics; /* borrowed */
};

void group_init(struct group *group, struct metrics *metrics);

/* `receiver` is in no group; `ws` is borrowed until group_remove. */
void group_add(struct group *group, struct receiver *receiver, struct ws *ws);
/* The same for a raw TCP peer. A group has receivers of one kind only. */
void group_add_raw(struct group *group, struct receiver *receiver, struct relay_paced *paced);
void group_remove(struct group *group, struct receiver *receiver);

/* Sends a text message to the receivers that `wants` (NULL: all) says yes to. Returns to how many. */
uint32_t group_send(struct group *group, struct span text,
                    bool (*wants)(struct receiver *receiver));

/* Sends bytes as they are to all (raw) receivers but `except`, which may be NULL. Returns to how
 * many; whoever is cut at this is not counted. */
uint32_t group_send_raw(struct group *group, struct span bytes, struct relay_paced_mark mark,
                        const struct receiver *except);

/* Sends one frame to one receiver. */
void group_send_one(struct receiver *receiver, struct shared_message *frame);

#endif
