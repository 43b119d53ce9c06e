/* SPDX-License-Identifier: MIT */
/* The inside of a link, for link.c and link_hear.c; no other file includes it. */
#ifndef MUSTER_STORE_REDIS_LINK_IMPL_H
#define MUSTER_STORE_REDIS_LINK_IMPL_H

#include "store/base/backoff.h"
#include "store/redis/find.h"
#include "store/redis/follow.h"
#include "store/redis/hush.h"
#include "store/redis/link.h"
#include "store/redis/proof.h"
#include "store/redis/role.h"
#include "store/redis/wait.h"
#include "store/store_impl.h"

enum link_state { LINK_WAITING, LINK_CONNECTING, LINK_PROVING, LINK_UP };

struct redis_link {
    struct store *store;
    const struct redis_link_events *events;
    void *arg;
    const struct redis_server *server;
    enum link_state state;
    struct redis_find *find;
    struct redis_follow *follow; /* NULL: no sentinels */
    struct redis_conn *command, *subscriber;
    struct redis_wait *wait; /* NULL: no replicas are waited for */
    bool greeted;            /* the command connection is usable, this node on the roll */
    bool connected;          /* the command connection is there */
    bool described;          /* the server has said over it what `role` has */
    bool called;             /* its rolls were asked */
    unsigned rolls;          /* of these, not answered */
    uint64_t rolled_us;      /* when the last one was asked that was answered */
    char *last;              /* "host port" of the last link that was up; NULL: this is the first */
    struct event *timer;     /* next try, or the time limit of this one */
    struct event *beat;
    struct backoff backoff;
    unsigned tries;
    struct redis_proof proof;
    struct redis_hush hush; /* of the command connection; not used in a cluster */
    uint64_t answered_us;   /* the command connection last answered */
    uint64_t beat_us;       /* the last one went out */
    uint64_t up_us;
    uint64_t complained_us;
    struct redis_role role; /* of the server, as it said last */
};

/* ------------------------------------------------------------------------------------ link_hear.c */

/* Do the channels with that tag (-1: none) belong to a slot? */
bool redis_link_is_sharded(const struct redis_link *link, int tag);

/* True when a server of a cluster says that it does not serve the slot; the cluster is told. */
bool redis_link_is_redirected(struct redis_link *link, const char *error);

enum link_heard {
    HEARD_NOTHING,       /* that the link has to act on: messages of the bus are handed on */
    HEARD_PROOF,         /* its own message: `proof` */
    HEARD_PROOF_ON,      /* its own channel is heard from now on */
    HEARD_PROOF_GAVE_UP, /* and no more; or another channel may have moved, and that one, too */
    HEARD_ERROR,         /* which only a new connection can heal */
};

/* Takes what came over the subscribed connection. `proof` is borrowed with the reply. */
enum link_heard redis_link_hear(struct redis_link *link, const redisReply *reply,
                                struct span *proof);

#endif
