/* room: the members that one message goes to. Encoding happens once per message, queueing once per
 * member; a member over its queue limit is closed, so that it harms nobody else. */
#ifndef MUSTER_NODE_FANOUT_ROOM_H
#define MUSTER_NODE_FANOUT_ROOM_H

#include "node/core/metrics.h"
#include "node/fanout/frame.h"
#include "node/fanout/paced.h"
#include "node/proto/ws.h"
#include "store/base/list.h"

#include <stdint.h>

/* Lives inside the member's object. */
struct room_member {
    struct list link;
    struct ws *ws;       /* borrowed; NULL: a raw TCP peer */
    struct paced *paced; /* borrowed; NULL: a WebSocket */
};

struct room {
    struct list members; /* struct room_member */
    uint32_t count;
    struct metrics *metrics; /* borrowed */
};

void room_init(struct room *room, struct metrics *metrics);

/* `member` is in no room; `ws` is borrowed until room_remove. */
void room_add(struct room *room, struct room_member *member, struct ws *ws);
/* The same for a raw TCP peer. A room has members of one kind only. */
void room_add_raw(struct room *room, struct room_member *member, struct paced *paced);
void room_remove(struct room *room, struct room_member *member);

/* Sends a text message to the members that `wants` (NULL: all) says yes to. Returns to how many. */
uint32_t room_send(struct room *room, struct span text, bool (*wants)(struct room_member *member));

/* Sends bytes as they are to all (raw) members but `except`, which may be NULL. Returns to how
 * many; whoever is cut at this is not counted. */
uint32_t room_send_raw(struct room *room, struct span bytes, struct paced_mark mark,
                       const struct room_member *except);

/* Sends one frame to one member. */
void room_send_one(struct room_member *member, struct frame *frame);

#endif
