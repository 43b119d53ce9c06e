/* SPDX-License-Identifier: MIT */
/* minigame players: all that are online in the fleet, gone through a part at a time: a hundred thousand of them hold
 * up nobody. */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_PLAYERS_H
#define MUSTER_NODE_SERVICE_MINIGAME_PLAYERS_H

#include "node/net/work.h"
#include "store/base/span.h"

#include <stdbool.h>
#include <stdint.h>

/* Who knows them: a callback of a service that must not be known here. */
struct minigame_online {
    unsigned parts; /* each player is in one of them, wherever he is online */
    /* Calls `fn` once with each player of a part, until it returns false. False, without a call, while
     * that is not known. */
    bool (*each)(void *arg, unsigned part, bool (*fn)(void *fn_arg, struct span user),
                 void *fn_arg);
    void *arg;
};

/* Lives inside the caller's object. */
struct minigame_walk {
    struct net_work work;
    struct net *net;                      /* borrowed */
    const struct minigame_online *online; /* borrowed */
    bool (*take)(void *arg, struct span user);
    void (*done)(void *arg, bool known);
    void *arg;
    unsigned part, taken;
    uint64_t us; /* that it took */
    bool on, enough;
};

/* `take` gets each player once, until it returns false; then comes `done`: not `known` where it is not known
 * who is online. Set net, online, take, done and arg before. */
void minigame_walk_init(struct minigame_walk *walk);

/* Begins, unless it is under way. With few players `done` comes before it returns. */
void minigame_walk_begin(struct minigame_walk *walk);
bool minigame_walk_is_on(const struct minigame_walk *walk);

/* `done` does not come any more. */
void minigame_walk_end(struct minigame_walk *walk);

#endif
