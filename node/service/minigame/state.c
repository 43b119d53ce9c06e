/* SPDX-License-Identifier: MIT */
#include "node/service/minigame/state.h"

#include "store/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    ENOUGH_PLAYERS = 2,
    ENTRY_FEE = 200, /* as the old server told all its games */
    LAPS = 20,
};

#define CURRENCY "HTO"

/* ------------------------------------------------------------------------------------ memory */

struct minigame_state *minigame_state_new(void)
{
    return mem_zalloc(sizeof(struct minigame_state));
}

struct minigame_state *minigame_state_copy(const struct minigame_state *state)
{
    struct minigame_state *copy = mem_alloc(sizeof(*copy));
    *copy = *state;
    for (size_t i = 0; i < copy->round_count; i++) {
        struct minigame_round *round = &copy->rounds[i];
        for (size_t player = 0; player < round->player_count; player++) {
            round->players[player] = mem_dup(span_str(round->players[player]));
        }
    }
    for (size_t i = 0; i < copy->balance_count; i++) {
        copy->balances[i].user = mem_dup(span_str(copy->balances[i].user));
    }
    return copy;
}

static void remove_oldest_round(struct minigame_state *state)
{
    for (size_t i = 0; i < state->rounds[0].player_count; i++) {
        free(state->rounds[0].players[i]);
    }
    state->round_count--;
    memmove(state->rounds, state->rounds + 1, state->round_count * sizeof(*state->rounds));
}

static void remove_balance(struct minigame_state *state, size_t at)
{
    free(state->balances[at].user);
    state->balance_count--;
    memmove(state->balances + at, state->balances + at + 1,
            (state->balance_count - at) * sizeof(*state->balances));
}

void minigame_state_free(struct minigame_state **state)
{
    if (*state == NULL) {
        return;
    }
    while ((*state)->round_count > 0) {
        remove_oldest_round(*state);
    }
    while ((*state)->balance_count > 0) {
        remove_balance(*state, (*state)->balance_count - 1);
    }
    free(*state);
    *state = NULL;
}

/* ------------------------------------------------------------------------------------ changes */

bool minigame_state_is_same(const struct minigame_state *one, const struct minigame_state *other)
{
    return one->version == other->version && strcmp(one->by, other->by) == 0;
}

static struct minigame_round *new_round(struct minigame_state *state)
{
    if (state->round_count == MINIGAME_ROUNDS_MOST) {
        remove_oldest_round(state);
    }
    struct minigame_round *round = &state->rounds[state->round_count++];
    *round = (struct minigame_round){0};
    return round;
}

struct minigame_round *minigame_state_add_round(struct minigame_state *state, int64_t now_ms)
{
    struct minigame_round *round = new_round(state);
    state->number++;
    state->next_at_ms = now_ms + state->period * 1000;
    snprintf(round->id, sizeof(round->id), "HLG-%" PRId64, state->number);
    snprintf(round->game, sizeof(round->game), "%s",
             state->number % 2 == 1 ? "boomer" : "speedspinner");
    round->set_up_at = now_ms / 1000;
    round->start_at = round->set_up_at + state->offset;
    return round;
}

bool minigame_state_forget(struct minigame_state *state)
{
    if (state->balance_count > 0) {
        remove_balance(state, 0);
    } else if (state->round_count > 1) {
        remove_oldest_round(state);
    } else {
        return false;
    }
    return true;
}

struct minigame_round *minigame_state_find(struct minigame_state *state, const char *id)
{
    for (size_t i = 0; i < state->round_count; i++) {
        struct minigame_round *round = &state->rounds[i];
        if (strcmp(round->id, id) == 0 && !round->ended) {
            return round;
        }
    }
    return NULL;
}

/* Behind all others: players that have not played for long are forgotten first. Steals `user`. */
static void add_balance(struct minigame_state *state, char *user, int64_t amount)
{
    if (state->balance_count == MINIGAME_BALANCES_MOST) {
        remove_balance(state, 0);
    }
    state->balances[state->balance_count++] = (struct minigame_balance){user, amount};
}

int64_t minigame_state_pay(struct minigame_state *state, const char *user, int64_t amount)
{
    for (size_t i = 0; i < state->balance_count; i++) {
        if (strcmp(state->balances[i].user, user) == 0) {
            amount += state->balances[i].amount;
            remove_balance(state, i);
            break;
        }
    }
    add_balance(state, mem_dup(span_str(user)), amount);
    return amount;
}

/* ------------------------------------------------------------------------------------ reading */

static int64_t get_number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* Replaces `out`; false, and nothing replaced, where the member is no text or too long. */
static bool get_text(const json_t *object, const char *key, char *out, size_t size)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value) || json_string_length(value) >= size) {
        return false;
    }
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static void read_round(struct minigame_state *state, const json_t *json)
{
    struct minigame_round *round = new_round(state);
    const json_t *players = json_object_get(json, "players");
    get_text(json, "id", round->id, sizeof(round->id));
    get_text(json, "game", round->game, sizeof(round->game));
    round->start_at = get_number(json, "start_at");
    round->set_up_at = get_number(json, "set_up_at");
    round->ended = json_is_true(json_object_get(json, "ended"));
    for (size_t i = 0; i < json_array_size(players); i++) {
        const char *player = json_string_value(json_array_get(players, i));
        if (player != NULL && round->player_count < MINIGAME_PLAYERS_MOST) {
            round->players[round->player_count++] = mem_dup(span_str(player));
        }
    }
}

/* New; or NULL where parts are missing that are relied on. */
static struct minigame_state *from_json(const json_t *json)
{
    json_t *rounds = json_object_get(json, "rounds"), *balances = json_object_get(json, "balances");
    struct minigame_state *state = minigame_state_new();
    if (!json_is_array(rounds) || !json_is_object(balances) ||
        !json_is_integer(json_object_get(json, "version")) ||
        !get_text(json, "by", state->by, sizeof(state->by))) {
        minigame_state_free(&state);
        return NULL;
    }
    state->version = get_number(json, "version");
    state->running = json_is_true(json_object_get(json, "running"));
    state->period = get_number(json, "period");
    state->offset = get_number(json, "offset");
    state->next_at_ms = get_number(json, "next_at_ms");
    state->number = get_number(json, "number");
    for (size_t i = 0; i < json_array_size(rounds); i++) {
        read_round(state, json_array_get(rounds, i));
    }
    const char *user;
    json_t *amount;
    json_object_foreach(balances, user, amount)
    {
        add_balance(state, mem_dup(span_str(user)), json_integer_value(amount));
    }
    return state;
}

struct minigame_state *minigame_state_read(struct span text)
{
    json_t *json = json_loadb(text.ptr, text.len, 0, NULL);
    struct minigame_state *state = from_json(json);
    json_decref(json);
    return state;
}

struct minigame_state *minigame_state_read_seat(struct span text, uint64_t *since)
{
    json_t *seat = json_loadb(text.ptr, text.len, 0, NULL);
    struct minigame_state *state = from_json(json_object_get(seat, "state"));
    *since = (uint64_t)get_number(seat, "since");
    json_decref(seat);
    return state;
}

/* ------------------------------------------------------------------------------------ printing */

static json_t *players_json(const struct minigame_round *round)
{
    json_t *players = json_array();
    for (size_t i = 0; i < round->player_count; i++) {
        json_array_append_new(players, json_string(round->players[i]));
    }
    return players;
}

static json_t *to_json(const struct minigame_state *state)
{
    json_t *rounds = json_array(), *balances = json_object();
    for (size_t i = 0; i < state->round_count; i++) {
        const struct minigame_round *round = &state->rounds[i];
        json_array_append_new(rounds,
                              json_pack("{s:s, s:s, s:I, s:I, s:o, s:b}", "id", round->id, "game",
                                        round->game, "start_at", (json_int_t)round->start_at,
                                        "set_up_at", (json_int_t)round->set_up_at, "players",
                                        players_json(round), "ended", (int)round->ended));
    }
    for (size_t i = 0; i < state->balance_count; i++) {
        json_object_set_new(balances, state->balances[i].user,
                            json_integer(state->balances[i].amount));
    }
    return json_pack("{s:I, s:s, s:b, s:I, s:I, s:I, s:I, s:o, s:o}", "version",
                     (json_int_t)state->version, "by", state->by, "running", (int)state->running,
                     "period", (json_int_t)state->period, "offset", (json_int_t)state->offset,
                     "next_at_ms", (json_int_t)state->next_at_ms, "number",
                     (json_int_t)state->number, "rounds", rounds, "balances", balances);
}

/* Steals `json`. */
static char *print(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

char *minigame_state_print(const struct minigame_state *state)
{
    return print(to_json(state));
}

char *minigame_state_print_seat(const struct minigame_state *state, uint64_t since)
{
    return print(json_pack("{s:I, s:o}", "since", (json_int_t)since, "state", to_json(state)));
}

/* ------------------------------------------------------------------------------------ the events */

/* As the account service would describe them: what is not known here stays empty. */
static json_t *players_shown(const struct minigame_round *round)
{
    json_t *players = json_array();
    for (size_t i = 0; i < round->player_count; i++) {
        const char *id = round->players[i];
        json_array_append_new(
            players, json_pack("{s:s, s:s, s:s}", "id", id, "nickname", id, "paragonAddress", ""));
    }
    return players;
}

json_t *minigame_state_shown(const struct minigame_state *state)
{
    if (state->round_count == 0) {
        return json_array();
    }
    const struct minigame_round *round = &state->rounds[state->round_count - 1];
    json_int_t set_up = round->set_up_at;
    json_int_t pool =
        MINIGAME_POOL_BASE + MINIGAME_POOL_PER_PLAYER * (json_int_t)round->player_count;
    json_t *parameters =
        json_pack("{s:I, s:I, s:I, s:s, s:i, s:I}", "startsAt", (json_int_t)round->start_at,
                  "registrationStartsAt", set_up, "registrationEndsAt", set_up, "currency",
                  CURRENCY, "entryFee", ENTRY_FEE, "rewardPool", pool);
    json_t *settings = json_pack("{s:i, s:i, s:s}", "numberOfLaps", LAPS, "numberOfPlayers",
                                 MINIGAME_PLAYERS_MOST, "map", "");
    return json_pack("[{s:s, s:s, s:[o], s:o, s:o, s:n, s:s}]", "id", round->id, "miniGame",
                     round->game, "parameters", parameters, "settings", settings, "players",
                     players_shown(round), "results", "policyLink", "");
}

json_t *minigame_state_flat(const struct minigame_state *state)
{
    if (state->round_count == 0) {
        return json_pack("{s:s, s:b, s:s, s:i, s:i, s:i, s:[]}", "id", "HLG-0", "enough_players", 0,
                         "next_game", "boomer", "start_at", 0, "reg_start_at", 0, "reg_end_at", 0,
                         "players");
    }
    const struct minigame_round *round = &state->rounds[state->round_count - 1];
    json_int_t set_up = round->set_up_at;
    return json_pack("{s:s, s:b, s:s, s:I, s:I, s:I, s:o}", "id", round->id, "enough_players",
                     (int)(round->player_count >= ENOUGH_PLAYERS), "next_game", round->game,
                     "start_at", (json_int_t)round->start_at, "reg_start_at", set_up, "reg_end_at",
                     set_up, "players", players_json(round));
}
