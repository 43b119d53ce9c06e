/* SPDX-License-Identifier: MIT */
/* chat: the WebSocket /chat of game clients, and GET /api, GET /api/version (docs/protocols.md#chat).
 *
 *     login --login.c: token, keys, account service--> user --online.c--> claimed in the roster
 *     message --rate, words.c--> history, in the fleet's order --> recent.c --> all clients of each node
 *
 * A message has a number in the history, so a node that lost the store reads what it missed, and
 * nothing is told twice. A client that reads too slowly is closed, and asks for the history when it is
 * back. */
#ifndef MUSTER_NODE_SERVICE_CHAT_CHAT_H
#define MUSTER_NODE_SERVICE_CHAT_CHAT_H

#include "node/core/metrics.h"
#include "node/core/wheel.h"
#include "node/proto/http/http.h"
#include "node/service/chat/login.h"
#include "node/service/chat/online.h"
#include "store/store.h"

struct chat;

struct chat_options {
    struct store *store;     /* borrowed */
    struct metrics *metrics; /* borrowed */
    struct wheel *wheel;     /* borrowed */
    struct net *net;         /* borrowed */
    const char *node;        /* this node's name in the fleet, borrowed */
    struct chat_login_options login;
    uint32_t history;               /* messages that clients can ask for */
    uint32_t rate, burst;           /* messages of one connection: per second, and at once */
    uint32_t text_limit;            /* bytes of a message */
    size_t answer_limit;            /* bytes of an answer: what a client's queue holds for sure */
    bool close_at_exp;              /* a connection ends with its token */
    const char *api_env, *api_desc; /* shown by /api/version; borrowed */
};

/* New, with its routes put into `server`; NULL with a message when the login is set up wrongly. */
struct chat *chat_new(struct http_server *server, const struct chat_options *options, char *error,
                      size_t error_size) __attribute__((warn_unused_result));

/* Appends, for the fleet's page, the users logged in here: chat_online_describe. */
void chat_describe(const struct chat *chat, struct buf *out);

/* Frees; its sockets must be gone. NULL inside is fine. */
void chat_free(struct chat **chat);

/* Calls `fn` once with each user logged in anywhere in the cluster who is in that of CHAT_ONLINE_PARTS
 * parts, until it returns false. False, without a call, while that is not known. `chat` is a struct chat: a
 * callback for services that must not know of it. */
bool chat_each_online(void *chat, unsigned part, bool (*fn)(void *arg, struct span user),
                      void *arg);

#endif
