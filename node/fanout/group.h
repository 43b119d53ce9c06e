/* SPDX-License-Identifier: MIT */
/* group: the receivers that one message goes to. Encoding happens once per message, queueing once
 * per receiver; a receiver over its queue limit is closed, so that it does not harm the others.
 *
 *     few receivers    group_send --> their queues
 *     very many        group_send --> kept once --> over several turns: a walk with a cursor gives each
 *                                     receiver, in its order, all that it does not have yet */
#ifndef MUSTER_NODE_FANOUT_GROUP_H
#define MUSTER_NODE_FANOUT_GROUP_H

#include "node/core/metrics.h"
#include "node/fanout/message.h"
#include "node/proto/ws/ws.h"
#include "store/base/list.h"

#include <stdint.h>

enum {
    GROUP_BULK_FROM = 64, /* receivers: a message to so many can wait for those to few */
    GROUP_WALK_FROM =
        1024, /* receivers: so many are not gone through in one turn (some 0.3 us each) */
    GROUP_KEPT_MOST = 1024 * 1024 /* bytes of messages on their walk; more are not kept waiting */
};

/* Lives inside the receiver's object. */
struct receiver {
    struct list entry;
    struct ws *ws;     /* borrowed */
    uint64_t has_kept; /* number of the last message that was kept and that it has, or came after */
};

/* To whom a message goes: those that `wants` (NULL: all) says yes to. For a large group it is asked later, and
 * has to answer as it would have when the message was sent: what that depends on is in `as_of`, or changes
 * behind a group_give. */
struct group_choice {
    bool (*wants)(struct receiver *receiver, uint64_t as_of);
    uint64_t as_of;
};

#define GROUP_ALL ((struct group_choice){NULL, 0})

struct group_walk;

struct group {
    struct list receivers;   /* struct receiver */
    struct metrics *metrics; /* borrowed */
    struct group_walk *walk; /* NULL: all have all */
    uint64_t kept;           /* messages that were kept for a walk so far: the number of the last */
    uint32_t count;
};

void group_init(struct group *group, struct metrics *metrics);

/* `receiver` is in no group; `ws` is borrowed until group_remove. It gets what is sent from now on. */
void group_add(struct group *group, struct receiver *receiver, struct ws *ws);

/* It is given what it lacks first. */
void group_remove(struct group *group, struct receiver *receiver);

/* Sends a text message to some receivers; for a large group in one of the next turns. */
void group_send(struct group *group, struct span text, struct group_choice whom);

/* The same, but what goes to others may be written first: for what many groups are sent at once. */
void group_send_late(struct group *group, struct span text, struct group_choice whom);

/* Sends one message to one receiver of the group, behind all that the group was sent before. */
void group_send_one(struct group *group, struct receiver *receiver, struct shared_message *message);

/* Queues what the group was sent and this receiver does not have yet: before it is told to go, or wants
 * something else. */
void group_give(struct group *group, struct receiver *receiver);

/* Sends one message to a receiver, of no group or of one whose order does not matter. */
void group_send_to(const struct receiver *receiver, struct shared_message *message);

#endif
