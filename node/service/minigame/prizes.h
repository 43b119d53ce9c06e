/* SPDX-License-Identifier: MIT */
/* minigame prizes: who gets what at the end of a game (docs/protocols.md#minigame). Pure: JSON in, JSON out. */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_PRIZES_H
#define MUSTER_NODE_SERVICE_MINIGAME_PRIZES_H

#include <jansson.h>

/* Pays the prizes of a game of `players` (a list of ids) by its `leaderboard`, a list of {id,
 * position}, into `balances` (id to amount). New: a list of {id, won, balance}; or NULL with a
 * text, and nothing paid. */
json_t *minigame_pay(const json_t *players, const json_t *leaderboard, json_t *balances,
                     char *error, size_t error_size) __attribute__((warn_unused_result));

#endif
