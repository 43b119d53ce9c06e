/* SPDX-License-Identifier: MIT */
/* minigame letters: what nodes write to each other about the game, over one topic of the bus: JSON with
 * its receivers: "all" sockets of the cluster, or one node ("to"). */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_LETTERS_H
#define MUSTER_NODE_SERVICE_MINIGAME_LETTERS_H

#include "node/service/minigame/sockets.h"
#include "store/store.h"

/* The topic of the letters, and the key of the seats. */
#define MINIGAME_KEY SPAN("minigame")

/* Where they go. */
struct minigame_post {
    struct store *store;              /* borrowed */
    struct minigame_sockets *sockets; /* of this node; borrowed */
};

/* Publishes `letter` (stolen). 0, or -1 when it reaches no other node. */
int minigame_post_publish(const struct minigame_post *post, json_t *letter);

/* `json` (stolen) to every socket of the cluster; while the bus is away, only to the sockets here. */
void minigame_post_broadcast(const struct minigame_post *post, json_t *json);

/* A letter to "all", the answer "to" a node, or for the "own" socket that asked, which is told only
 * when nothing came of it: not `kept`. Borrowed. */
void minigame_post_deliver(const struct minigame_post *post, json_t *letter, bool kept);

/* New: sockets shall look at the events. */
json_t *minigame_post_update(void);

#endif
