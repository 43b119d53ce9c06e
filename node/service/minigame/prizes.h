/* SPDX-License-Identifier: MIT */
/* minigame prizes: who gets what at the end of a game (docs/protocols.md#minigame). */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_PRIZES_H
#define MUSTER_NODE_SERVICE_MINIGAME_PRIZES_H

#include "node/service/minigame/state.h"

/* Pays the prizes of the game of `round` by its `leaderboard`, a list of {id, position}, into the
 * balances of `state`. New: a list of {id, won, balance}; or NULL with a text, and nothing paid. */
json_t *minigame_pay(struct minigame_state *state, const struct minigame_round *round,
                     const json_t *leaderboard, char *error, size_t error_size)
    __attribute__((warn_unused_result));

#endif
