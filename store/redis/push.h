/* SPDX-License-Identifier: MIT */
/* redis push: what a subscribed connection says and hears: messages, and which channels it has. */
#ifndef MUSTER_STORE_REDIS_PUSH_H
#define MUSTER_STORE_REDIS_PUSH_H

#include "store/redis/conn.h"

enum redis_push_kind {
    PUSH_NONE,    /* nothing that a link waits for */
    PUSH_MESSAGE, /* `payload` came over `channel` */
    PUSH_ON,      /* `channel` is heard from now on */
    PUSH_OFF,     /* and no more */
};

struct redis_push {
    enum redis_push_kind kind;
    struct span channel, payload; /* borrowed with the reply */
};

/* Reads one that is no error. Channels of slots come as the others. Returns its kind. */
enum redis_push_kind redis_push_read(const redisReply *reply, struct redis_push *push);

/* SUBSCRIBE or UNSUBSCRIBE; `sharded`: to channels of one slot. */
void redis_push_subscribe(struct redis_conn *conn, const struct span *channels, size_t count,
                          bool sharded, bool on);

#endif
