/* SPDX-License-Identifier: MIT */
#include "node/service/minigame/state.h"

#include <string.h>

enum {
    ENOUGH_PLAYERS = 2,
    ROUNDS_MOST = 8,     /* kept: a game can be ended for so many rounds */
    BALANCES_MOST = 200, /* kept */
    ENTRY_FEE = 200,     /* as the old server told all its games */
    LAPS = 20,
};

#define CURRENCY "HTO"

int64_t minigame_state_number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

void minigame_state_set_number(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer(value));
}

json_t *minigame_state_new(void)
{
    return json_pack("{s:i, s:s, s:b, s:i, s:i, s:i, s:i, s:[], s:{}}", "version", 0, "by", "",
                     "running", 0, "period", 0, "offset", 0, "next_at_ms", 0, "number", 0, "rounds",
                     "balances");
}

bool minigame_state_is_valid(const json_t *state)
{
    return json_is_array(json_object_get(state, "rounds")) &&
           json_is_object(json_object_get(state, "balances")) &&
           json_is_integer(json_object_get(state, "version")) &&
           json_is_string(json_object_get(state, "by"));
}

void minigame_state_forget_oldest(json_t *state)
{
    json_t *rounds = json_object_get(state, "rounds");
    json_t *balances = json_object_get(state, "balances");
    while (json_array_size(rounds) > ROUNDS_MOST) {
        json_array_remove(rounds, 0);
    }
    while (json_object_size(balances) > BALANCES_MOST) {
        json_object_del(balances, json_object_iter_key(json_object_iter(balances)));
    }
}

bool minigame_state_is_same(const json_t *one, const json_t *other)
{
    return minigame_state_number(one, "version") == minigame_state_number(other, "version") &&
           json_equal(json_object_get(one, "by"), json_object_get(other, "by"));
}

json_t *minigame_state_find(const json_t *state, const char *id)
{
    json_t *all = json_object_get(state, "rounds");
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *round = json_array_get(all, i);
        if (strcmp(json_string_value(json_object_get(round, "id")), id) == 0 &&
            !json_is_true(json_object_get(round, "ended"))) {
            return round;
        }
    }
    return NULL;
}

static const json_t *newest_round(const json_t *state)
{
    const json_t *all = json_object_get(state, "rounds");
    size_t count = json_array_size(all);
    return count > 0 ? json_array_get(all, count - 1) : NULL;
}

/* As the account service would describe them: what is not known here stays empty. */
static json_t *players_shown(const json_t *round)
{
    const json_t *ids = json_object_get(round, "players");
    json_t *players = json_array();
    for (size_t i = 0; i < json_array_size(ids); i++) {
        json_t *id = json_array_get(ids, i);
        json_array_append_new(
            players, json_pack("{s:O, s:O, s:s}", "id", id, "nickname", id, "paragonAddress", ""));
    }
    return players;
}

json_t *minigame_state_shown(const json_t *state)
{
    const json_t *round = newest_round(state);
    if (round == NULL) {
        return json_array();
    }
    json_int_t set_up = minigame_state_number(round, "set_up_at");
    json_int_t pool =
        MINIGAME_POOL_BASE +
        MINIGAME_POOL_PER_PLAYER * (json_int_t)json_array_size(json_object_get(round, "players"));
    json_t *parameters =
        json_pack("{s:O, s:I, s:I, s:s, s:i, s:I}", "startsAt", json_object_get(round, "start_at"),
                  "registrationStartsAt", set_up, "registrationEndsAt", set_up, "currency",
                  CURRENCY, "entryFee", ENTRY_FEE, "rewardPool", pool);
    json_t *settings = json_pack("{s:i, s:i, s:s}", "numberOfLaps", LAPS, "numberOfPlayers",
                                 MINIGAME_PLAYERS_MOST, "map", "");
    return json_pack("[{s:O, s:O, s:[o], s:o, s:o, s:n, s:s}]", "id", json_object_get(round, "id"),
                     "miniGame", json_object_get(round, "game"), "parameters", parameters,
                     "settings", settings, "players", players_shown(round), "results", "policyLink",
                     "");
}

json_t *minigame_state_flat(const json_t *state)
{
    const json_t *round = newest_round(state);
    if (round == NULL) {
        return json_pack("{s:s, s:b, s:s, s:i, s:i, s:i, s:[]}", "id", "HLG-0", "enough_players", 0,
                         "next_game", "boomer", "start_at", 0, "reg_start_at", 0, "reg_end_at", 0,
                         "players");
    }
    json_t *players = json_object_get(round, "players");
    json_int_t set_up = minigame_state_number(round, "set_up_at");
    return json_pack("{s:O, s:b, s:O, s:O, s:I, s:I, s:O}", "id", json_object_get(round, "id"),
                     "enough_players", json_array_size(players) >= ENOUGH_PLAYERS, "next_game",
                     json_object_get(round, "game"), "start_at", json_object_get(round, "start_at"),
                     "reg_start_at", set_up, "reg_end_at", set_up, "players", players);
}
