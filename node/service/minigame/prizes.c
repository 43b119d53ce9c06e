/* SPDX-License-Identifier: MIT */
#include "node/service/minigame/prizes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Percent of the pool by position; nothing behind the fifth. */
static const unsigned prize_percent[] = {0, 36, 26, 18, 12, 8};

static bool plays(const struct minigame_round *round, const char *id)
{
    for (size_t i = 0; i < round->player_count; i++) {
        if (strcmp(round->players[i], id) == 0) {
            return true;
        }
    }
    return false;
}

static const char *player_of(const json_t *place)
{
    const char *id = json_string_value(json_object_get(place, "id"));
    return id != NULL ? id : "";
}

/* Is every place of the leaderboard one of the players, once, with a position? */
static bool check_places(const struct minigame_round *round, const json_t *leaderboard, char *error,
                         size_t error_size)
{
    for (size_t i = 0; i < json_array_size(leaderboard); i++) {
        const json_t *place = json_array_get(leaderboard, i);
        const char *id = player_of(place);
        if (!json_is_integer(json_object_get(place, "position"))) {
            snprintf(error, error_size, "position not found for player id %s", id);
            return false;
        }
        if (!plays(round, id)) {
            snprintf(error, error_size, "player id %s not found in the pool of existing players",
                     id);
            return false;
        }
        for (size_t before = 0; before < i; before++) {
            if (strcmp(player_of(json_array_get(leaderboard, before)), id) == 0) {
                snprintf(error, error_size, "player id %s is in the leaderboard twice", id);
                return false;
            }
        }
    }
    return true;
}

static int64_t prize(int64_t pool, int64_t position)
{
    bool paid =
        position > 0 && position < (int64_t)(sizeof(prize_percent) / sizeof(*prize_percent));
    return paid ? pool * prize_percent[position] / 100 : 0;
}

json_t *minigame_pay(struct minigame_state *state, const struct minigame_round *round,
                     const json_t *leaderboard, char *error, size_t error_size)
{
    if (json_array_size(leaderboard) == 0) {
        snprintf(error, error_size, "leaderboard is empty");
        return NULL;
    }
    if (!check_places(round, leaderboard, error, error_size)) {
        return NULL;
    }
    int64_t pool =
        MINIGAME_POOL_BASE + MINIGAME_POOL_PER_PLAYER * (int64_t)json_array_size(leaderboard);
    json_t *paid = json_array();
    for (size_t i = 0; i < json_array_size(leaderboard); i++) {
        const json_t *place = json_array_get(leaderboard, i);
        const char *id = player_of(place);
        int64_t won = prize(pool, json_integer_value(json_object_get(place, "position")));
        int64_t balance = minigame_state_pay(state, id, won);
        json_array_append_new(paid, json_pack("{s:s, s:I, s:I}", "id", id, "won", (json_int_t)won,
                                              "balance", (json_int_t)balance));
    }
    return paid;
}
