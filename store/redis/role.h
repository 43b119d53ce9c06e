/* SPDX-License-Identifier: MIT */
/* redis role: what a server says of itself when it is asked for INFO replication and ROLE: in which
 * history it is, who follows it, whether it is a replica. */
#ifndef MUSTER_STORE_REDIS_ROLE_H
#define MUSTER_STORE_REDIS_ROLE_H

#include "store/redis/conn.h"

enum { REDIS_TIMELINE_DIGITS = 16 };

struct redis_role {
    char timeline[REDIS_TIMELINE_DIGITS + 1]; /* the history it is in; "-": it does not say */
    bool unguarded; /* it takes writes without a replica that follows: min-replicas-to-write is 0 */
    unsigned followers; /* replicas; UINT_MAX: it does not say */
};

/* Asks for both; `on_info` and `on_role` get an answer each. */
void redis_role_ask(struct redis_conn *conn, redis_reply_fn *on_info, redis_reply_fn *on_role,
                    void *arg);

/* Reads the answer to INFO replication: a server begins a new replication history when it is promoted
 * and when it starts. Where an ACL forbids the question, or the answer does not say, there is one
 * history only. */
void redis_role_take(struct redis_role *role, const redisReply *info);

/* Reads the answer to ROLE. Where an ACL forbids the question the server is believed to be none. */
bool redis_role_is_replica(const redisReply *reply);

#endif
