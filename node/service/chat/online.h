/* SPDX-License-Identifier: MIT */
/* chat online: which users are logged in, in the whole cluster. Each node claims its own in the
 * roster, spread over parts by a hash of the user, so that a login or logout changes little; a
 * burst of logins is told at most twice a second. */
#ifndef MUSTER_NODE_SERVICE_CHAT_ONLINE_H
#define MUSTER_NODE_SERVICE_CHAT_ONLINE_H

#include "node/core/wheel.h"
#include "node/net/net.h"
#include "store/base/buf.h"
#include "store/store.h"

struct chat_online;

enum { CHAT_ONLINE_PARTS = 64 }; /* each user is in one of them, the same on every node */

struct chat_online_options {
    struct store *store; /* borrowed */
    struct wheel *wheel; /* borrowed */
    struct net *net;     /* borrowed */
    const char *node;    /* this node's name, borrowed */
};

struct chat_online *chat_online_new(const struct chat_online_options *options);

/* Frees; NULL inside is fine. What was claimed is the store's to release. */
void chat_online_free(struct chat_online **online);

/* A connection of `user` (no NUL in it) is logged in here, or no more. */
void chat_online_add(struct chat_online *online, const char *user);
void chat_online_remove(struct chat_online *online, const char *user);

/* `user`, logged in here, said something to all: from now on the name is no secret. */
void chat_online_spoke(struct chat_online *online, const char *user, const char *name);

/* Appends, for the fleet's page, the users logged in here that spoke, the last to speak first:
 * {"rows":[{"name":"Ada"}],"more":0}. `more` also counts the silent users: rows and more are all
 * users here. Names are cut. */
void chat_online_describe(const struct chat_online *online, struct buf *out);

/* Calls `fn` once with each user of that part logged in anywhere, in no order, until it returns false. False,
 * without a call, while this node has not seen the roster yet. */
bool chat_online_each(const struct chat_online *online, unsigned part,
                      bool (*fn)(void *arg, struct span user), void *arg)
    __attribute__((warn_unused_result));

#endif
