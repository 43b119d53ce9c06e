/* SPDX-License-Identifier: MIT */
/* minigame draw: a fair choice of up to MINIGAME_PLAYERS_MOST among all players given to it (reservoir
 * sampling). */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_DRAW_H
#define MUSTER_NODE_SERVICE_MINIGAME_DRAW_H

#include "node/service/minigame/state.h"

struct minigame_draw {
    char *players[MINIGAME_PLAYERS_MOST]; /* owned */
    uint64_t seen;
};

/* One player more; true. `draw` is a struct minigame_draw, zeroed before the first. */
bool minigame_draw_add(void *draw, struct span user);

/* Its players into `round`, which has none; steals them. */
void minigame_draw_end(struct minigame_draw *draw, struct minigame_round *round);

#endif
