/* SPDX-License-Identifier: MIT */
/* minigame: the WebSocket /minigame of game servers, GET /api/gaming/events and GET or POST
 * /api/webhook/minigame (docs/protocols.md#minigame).
 *
 *     request --request.c: its form--> scheduler.c --bus--> the runner, one node of the fleet, does it
 *     all sockets <-- sockets.c <--bus-- what the runner says, once the store has it
 *
 * The state (state.c) lies in the roster and in a history: another node goes on with it when the runner
 * dies. Players are drawn from the users in the chat (draw.c), and paid by their places (prizes.c). */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_MINIGAME_H
#define MUSTER_NODE_SERVICE_MINIGAME_MINIGAME_H

#include "node/core/metrics.h"
#include "node/core/wheel.h"
#include "node/proto/http/http.h"
#include "node/service/minigame/players.h"
#include "store/store.h"

struct minigame;

struct minigame_options {
    struct store *store;     /* borrowed */
    struct metrics *metrics; /* borrowed */
    struct wheel *wheel;     /* borrowed */
    const char *node;        /* this node's name in the fleet, borrowed */
    struct net *net;         /* borrowed */
    struct minigame_online online;
    const char *token, *webhook_token; /* bearer tokens that must be shown; "": none; borrowed */
};

/* New, with its routes put into `server`. */
struct minigame *minigame_new(struct http_server *server, const struct minigame_options *options);

/* Frees; its sockets must be gone. NULL inside is fine. */
void minigame_free(struct minigame **minigame);

#endif
