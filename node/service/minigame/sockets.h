/* SPDX-License-Identifier: MIT */
/* minigame sockets: the game servers connected here. An asker is a socket's id: by the time of the
 * answer the socket may be gone. */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_SOCKETS_H
#define MUSTER_NODE_SERVICE_MINIGAME_SOCKETS_H

#include "node/core/metrics.h"
#include "node/core/wheel.h"
#include "node/fanout/group.h"
#include "node/net/limit.h"
#include "node/proto/ws/ws.h"
#include "store/base/map.h"

#include <jansson.h>

/* What the client is told when the scheduler cannot be asked, or does not answer. */
#define MINIGAME_TOO_MANY "too many requests, please slow down"
#define MINIGAME_UNREACHABLE "the scheduler cannot be reached now, please try again"
#define MINIGAME_NO_PLAYERS "the players cannot be reached now, please try again"

struct minigame_sockets {
    struct metrics *metrics; /* borrowed */
    struct wheel *wheel;     /* borrowed */
    struct group group;
    struct map by_id;
    struct metrics_source gauges;
};

/* One game server. */
struct minigame_socket {
    struct minigame_sockets *sockets;
    void *owner; /* of all sockets, borrowed */
    struct ws *ws;
    struct receiver receiver;
    struct map_node node;
    uint64_t id;         /* key of `node` */
    unsigned unanswered; /* requests that are with another node */
    unsigned wants;      /* answers with all players, which are being listed, */
    struct list wanting; /* with others that want them */
    struct wheel_timer timer;
    struct limit_bucket limit;
};

void minigame_sockets_init(struct minigame_sockets *sockets, struct metrics *metrics,
                           struct wheel *wheel);

/* The sockets are gone (net_free came first). */
void minigame_sockets_deinit(struct minigame_sockets *sockets);

/* New, or NULL when the handshake was refused. It is freed with minigame_socket_free when its
 * WebSocket has closed. */
struct minigame_socket *minigame_socket_accept(struct minigame_sockets *sockets, void *owner,
                                               struct http_request *request,
                                               const struct ws_handler *handler);
void minigame_socket_free(struct minigame_socket *socket);

/* Steals `json`. */
void minigame_socket_send(struct minigame_socket *socket, json_t *json);
void minigame_socket_error(struct minigame_socket *socket, const char *error);

/* To every socket of this node; `json` is borrowed. */
void minigame_sockets_say(struct minigame_sockets *sockets, const json_t *json);

/* Nothing came of a request of `asker` that was not sent to another node. */
void minigame_sockets_refuse(struct minigame_sockets *sockets, uint64_t asker, const char *error);

/* A request of `asker` was sent to another node: it is told when no answer comes within 5 s. */
void minigame_sockets_await(struct minigame_sockets *sockets, uint64_t asker);

/* The other node's answer; "" where it did what it was asked for. */
void minigame_sockets_answer(struct minigame_sockets *sockets, uint64_t asker, const char *error);

#endif
