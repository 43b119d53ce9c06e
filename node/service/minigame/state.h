/* SPDX-License-Identifier: MIT */
/* minigame state: what the scheduler remembers, kept as the JSON in which it travels:
 *
 *     {"version", "by", "running", "period", "offset", "next_at_ms", "number",
 *      "rounds": [{"id", "game", "start_at", "set_up_at", "players": [], "ended"}], the newest last
 *      "balances": {user: amount}}
 *
 * `by` is the node that gave the version. */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_STATE_H
#define MUSTER_NODE_SERVICE_MINIGAME_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    MINIGAME_PLAYERS_MOST = 10, /* in a round */
    MINIGAME_POOL_BASE = 1000,  /* the prizes of a game, in all */
    MINIGAME_POOL_PER_PLAYER = 100,
};

/* A number in an object; 0 where there is none. */
int64_t minigame_state_number(const json_t *object, const char *key);
void minigame_state_set_number(json_t *object, const char *key, int64_t value);

/* New: nothing has happened yet. */
json_t *minigame_state_new(void);

/* Does a state from another node have the parts that are relied on? */
bool minigame_state_is_valid(const json_t *state);

/* The same version by the same node. */
bool minigame_state_is_same(const json_t *one, const json_t *other);

/* Keeps the last 8 rounds and the 200 balances that were paid last. */
void minigame_state_forget_oldest(json_t *state);

/* The round of that id that can still be ended, borrowed; or NULL. */
json_t *minigame_state_find(const json_t *state, const char *id);

/* The current round as GET /api/gaming/events shows it, a list of one event, and in the form with one
 * level (docs/protocols.md#minigame): new. */
json_t *minigame_state_shown(const json_t *state);
json_t *minigame_state_flat(const json_t *state);

#endif
