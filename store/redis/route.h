/* SPDX-License-Identifier: MIT */
/* redis route: how the commands of a shard reach its server: over a link, or in a cluster over the one
 * that goes to where the partition is by then. There a command keeps its words until it is answered:
 *
 *     MOVED ----> the partition moves; to its new server
 *     ASK ------> ASKING and the command to the server that takes the slot over
 *     TRYAGAIN -> again in a moment, for some seconds; then it counts as lost
 *
 * The same in a list that changes, where each command looks at the fence (fence.lua):
 *
 *     HELD -----> again in a moment
 *     GONE -----> to where the partition is by then, or it counts as lost */
#ifndef MUSTER_STORE_REDIS_ROUTE_H
#define MUSTER_STORE_REDIS_ROUTE_H

#include "store/redis/cluster.h"

struct redis_route {
    struct store *store;
    unsigned shard;
    struct redis_link *link;       /* NULL: in a cluster */
    struct redis_cluster *cluster; /* NULL: none */
    struct redis_route_moves
        *moves; /* NULL: none of its partitions moves; a cluster's do by themselves */
};

/* What routes of a list that changes share. */
struct redis_route_moves {
    const struct redis_route *routes;        /* by shard */
    struct list calls;                       /* that wait to be sent again */
    void (*gone)(void *arg, unsigned shard); /* that server says that a partition has left */
    void *arg;
};

/* The link of the shard now; NULL: none. */
struct redis_link *redis_route_link(const struct redis_route *route);

/* What becomes of a command whose partition is on its way to another server of a list, or has left. */
enum redis_patience {
    PATIENCE_HOLDS, /* it waits while the partition is held; once that has left it counts as lost */
    PATIENCE_FOLLOWS, /* and goes to where the partition is then: nothing in it is the old server's */
    PATIENCE_NONE,    /* it counts as lost */
};

/* As redis_link_command, for a plain command that touches `key`, or publishes there. In a cluster, and where
 * the list changes, `fn` gets no redirection: NULL where it led nowhere. */
int redis_route_command(const struct redis_route *route, struct span key, struct span command,
                        enum redis_patience patience, redis_reply_fn *fn, void *arg)
    __attribute__((warn_unused_result));

/* The same for one whose long parts are shared, and which looks at the fence itself. */
int redis_route_share(const struct redis_route *route, struct span key,
                      const struct redis_outbox *command, enum redis_patience patience,
                      redis_reply_fn *fn, void *arg) __attribute__((warn_unused_result));

/* As redis_link_check, for answers to redis_route_command. */
bool redis_route_check(const struct redis_route *route, const redisReply *reply);

/* The name of the server's history, as redis_link_timeline. */
struct span redis_route_timeline(const struct redis_route *route);

/* Ends the calls that wait to be sent again, each with NULL. */
void redis_route_end_calls(struct list *calls);

#endif
