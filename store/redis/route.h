/* SPDX-License-Identifier: MIT */
/* redis route: how the commands of a shard reach its server: over a link, or in a cluster over the one
 * that goes to where the partition is by then. There a command keeps its words until it is answered:
 *
 *     MOVED ----> the partition moves; to its new server
 *     ASK ------> ASKING and the command to the server that takes the slot over
 *     TRYAGAIN -> again in a moment, for some seconds; then it counts as lost */
#ifndef MUSTER_STORE_REDIS_ROUTE_H
#define MUSTER_STORE_REDIS_ROUTE_H

#include "store/redis/cluster.h"

struct redis_route {
    struct store *store;
    unsigned shard;
    struct redis_link *link;       /* NULL: in a cluster */
    struct redis_cluster *cluster; /* NULL: none */
};

/* The link of the shard now; NULL: none. */
struct redis_link *redis_route_link(const struct redis_route *route);

/* As redis_link_command. In a cluster `fn` gets no redirection: NULL where it led nowhere. */
int redis_route_command(const struct redis_route *route, struct span command, redis_reply_fn *fn,
                        void *arg) __attribute__((warn_unused_result));

/* The same for one whose long parts are shared. */
int redis_route_share(const struct redis_route *route, const struct redis_outbox *command,
                      redis_reply_fn *fn, void *arg) __attribute__((warn_unused_result));

/* As redis_link_check, for answers to redis_route_command. */
bool redis_route_check(const struct redis_route *route, const redisReply *reply);

/* The name of the server's history, as redis_link_timeline. */
struct span redis_route_timeline(const struct redis_route *route);

/* Ends the calls that wait to be sent again, each with NULL. */
void redis_route_end_calls(struct redis_cluster *cluster);

#endif
