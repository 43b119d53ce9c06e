/* SPDX-License-Identifier: MIT */
/* work: what one turn has no time for, done in steps at the ends of turns, behind all that is read and
 * written there (turn.c). */
#ifndef MUSTER_NODE_NET_WORK_H
#define MUSTER_NODE_NET_WORK_H

#include "node/net/net.h"
#include "store/base/list.h"

/* Lives inside the caller's object. */
struct net_work {
    struct list entry;
    bool (*step)(struct net_work *work); /* some microseconds of it; false: nothing is left */
};

void net_work_init(struct net_work *work, bool (*step)(struct net_work *work));

/* Its steps come from the end of this turn on, in turn with those of other works, as long as one is
 * left. Does nothing while it is queued. */
void net_work_queue(struct net *net, struct net_work *work);

/* No step comes any more; not to be called in one. */
void net_work_cancel(struct net_work *work);

#endif
