/* What dispatch_link.c, dispatch_peer.c, dispatch_leg.c and dispatch_early.c share; nobody else
 * includes it. */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_LINK_IMPL_H
#define MUSTER_NODE_SERVICE_DISPATCH_LINK_IMPL_H

#include "node/service/dispatch_impl.h"

struct link {
    struct dispatch *dispatch;
    struct map peers;
    struct roster_watch *nodes;
    struct bus_sub *own;
    uint32_t number;
    uint32_t counter;
    uint64_t epoch;
    bool settled;      /* the number is ours */
    bool hearing;      /* our topic */
    bool told;         /* that we do, to the others */
    bool failed;       /* a message found no room in this turn */
    bool unanswered;   /* some node waits for an answer that there was no way for */
    struct list early; /* struct early: of nodes that cannot be spoken to yet */
    size_t early_bytes;
    struct wheel_timer early_timer;
};

struct peer {
    struct map_node node;
    struct link *link;
    uint64_t epoch; /* as in the roster */
    uint64_t mark;  /* peer_mark */
    struct bus_sub *follow;
    bool reachable; /* what we lose on the way to it we hear of */
    bool deaf;      /* as in the roster: it does not hear its topic */
    bool congested;
    struct map legs; /* by id */
    struct buf out;
    struct list parcels; /* struct parcel: the way was full, in order, before what is in `out` */
    struct buf topic;
    char name[];
};

/* ------------------------------------------------------------------------------ dispatch_link.c */

/* Bytes between this node and others may be lost: ends what it shares with them. */
void link_lost(struct link *link);

static inline struct store *link_store(const struct link *link)
{
    return link->dispatch->options.store;
}

static inline struct span link_name(const struct link *link)
{
    return span_str(link->dispatch->options.node);
}

/* ------------------------------------------------------------------------------ dispatch_peer.c */

/* Appends the topic of the node of that name. */
void peer_topic(struct span name, struct buf *out);

/* The node of that name, or NULL. */
struct peer *peer_find(const struct link *link, struct span name);

/* The same, new if need be; it becomes reachable by itself. */
struct peer *peer_get(struct link *link, struct span name);

/* Nothing of its own stands in the way of speaking to it any more. */
void peer_meet(struct peer *peer);

/* Its legs must be gone. */
void peer_free(struct peer *peer);

/* Publishes what was queued for it, as far as the way to it has room. */
void peer_flush(struct peer *peer);
void peer_drop_queued(struct peer *peer);

/* ------------------------------------------------------------------------------- dispatch_leg.c */

/* Cuts those that began in an epoch of the peer before that one. */
void legs_cut(struct peer *peer, uint64_t before, const char *why);

/* The peer is no more: what was on its side of the legs is gone. */
void legs_end(struct peer *peer);

/* The devices of all legs may have room again. */
void legs_wake(struct peer *peer);

/* A message from the topic of this node. What it says of legs waits until its node can be spoken
 * to. */
void legs_hear(struct link *link, struct span message);

/* Can the node that sent the message be spoken to? */
bool legs_can_hear(struct link *link, struct span message);

/* Tells the node that sent the message that its legs cannot go on. Below 0: there is no way to it;
 * 0: nothing had to be said; above 0: it was. */
int legs_refuse(struct link *link, struct span message) __attribute__((warn_unused_result));

/* ----------------------------------------------------------------------------- dispatch_early.c */

void early_init(struct link *link);

/* Steals *message, of a node that cannot be spoken to yet; after a time it is refused. False: there
 * is no room, and it is left. */
bool early_keep(struct link *link, struct buf *message) __attribute__((warn_unused_result));

/* Hears those whose node can be spoken to by now. */
void early_hear(struct link *link);

/* Forgets them all: their nodes will learn of the new epoch. */
void early_drop(struct link *link);

#endif
