/* SPDX-License-Identifier: MIT */
/* minigame state: what the scheduler remembers. It travels as JSON, in the ledger as it is and in a
 * seat of the roster as {"since", "state"}:
 *
 *     {"version", "by", "running", "period", "offset", "next_at_ms", "number",
 *      "rounds": [{"id", "game", "start_at", "set_up_at", "players": [], "ended"}], the newest last
 *      "balances": {user: amount}}                                      paid last, the last
 *
 * A reader passes over what it does not know. */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_STATE_H
#define MUSTER_NODE_SERVICE_MINIGAME_STATE_H

#include "store/base/span.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    MINIGAME_PLAYERS_MOST = 10, /* in a round */
    MINIGAME_ROUNDS_MOST = 8,   /* kept: a game can be ended for so many rounds */
    MINIGAME_BALANCES_MOST = 200,
    MINIGAME_ID_SIZE = 32,
    MINIGAME_NODE_SIZE = 65,
    MINIGAME_POOL_BASE = 1000, /* the prizes of a game, in all */
    MINIGAME_POOL_PER_PLAYER = 100,
};

struct minigame_round {
    char id[MINIGAME_ID_SIZE];
    char game[MINIGAME_ID_SIZE];
    int64_t start_at, set_up_at; /* Unix time, seconds */
    size_t player_count;
    char *players[MINIGAME_PLAYERS_MOST]; /* owned */
    bool ended;
};

struct minigame_balance {
    char *user; /* owned */
    int64_t amount;
};

struct minigame_state {
    int64_t version;             /* of two states the one with the higher version is the newer */
    char by[MINIGAME_NODE_SIZE]; /* the node that gave the version */
    bool running;
    int64_t period, offset; /* seconds */
    int64_t next_at_ms;     /* Unix time of the next round */
    int64_t number;         /* of the newest round */
    size_t round_count, balance_count;
    struct minigame_round rounds[MINIGAME_ROUNDS_MOST];       /* the newest last */
    struct minigame_balance balances[MINIGAME_BALANCES_MOST]; /* paid last, the last */
};

/* New: nothing has happened yet. */
struct minigame_state *minigame_state_new(void);

/* New. */
struct minigame_state *minigame_state_copy(const struct minigame_state *state);

/* Frees; NULL inside is fine. */
void minigame_state_free(struct minigame_state **state);

/* New; or NULL where the text is no state. The second one reads a seat. */
struct minigame_state *minigame_state_read(struct span text);
struct minigame_state *minigame_state_read_seat(struct span text, uint64_t *since);

/* New, to be freed. The second one prints a seat. */
char *minigame_state_print(const struct minigame_state *state);
char *minigame_state_print_seat(const struct minigame_state *state, uint64_t since);

/* The same version by the same node. */
bool minigame_state_is_same(const struct minigame_state *one, const struct minigame_state *other);

/* The next round, empty but for its id, game and times; borrowed. The oldest one goes where there
 * are MINIGAME_ROUNDS_MOST. `now_ms` is Unix time. */
struct minigame_round *minigame_state_add_round(struct minigame_state *state, int64_t now_ms);

/* Forgets the balance that was paid longest ago, or, when there is none, the oldest round but the
 * newest. False: nothing can be forgotten. */
bool minigame_state_forget(struct minigame_state *state);

/* The round of that id that can still be ended, borrowed; or NULL. */
struct minigame_round *minigame_state_find(struct minigame_state *state, const char *id);

/* Adds to the balance of `user` (copied), and returns what it is then. The balance that was paid
 * longest ago goes where there are MINIGAME_BALANCES_MOST. */
int64_t minigame_state_pay(struct minigame_state *state, const char *user, int64_t amount);

/* The current round as GET /api/gaming/events shows it, a list of one event, and in the form with one
 * level (docs/protocols.md#minigame): new. */
json_t *minigame_state_shown(const struct minigame_state *state);
json_t *minigame_state_flat(const struct minigame_state *state);

#endif
