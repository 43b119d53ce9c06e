/* SPDX-License-Identifier: MIT */
/* What every seat says: {"since", "state"}. */
#include "node/service/minigame/rounds.h"

#include "node/core/log.h"
#include "node/service/minigame/prizes.h"
#include "node/service/minigame/state.h"
#include "store/base/clock.h"
#include "store/base/entropy.h"
#include "store/base/mem.h"
#include "store/history/history.h"
#include "store/roster/roster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY SPAN("minigame")
#define LEDGER SPAN("minigame:ledger")

enum {
    MINIGAME_ROUNDS_TICK_MS = 200,
    MINIGAME_ROUNDS_NAME = 65,
    MINIGAME_ROUNDS_VALUE_MOST = 60 * 1024, /* bytes of a seat; a roster value holds 64 KiB */
    LEDGER_MOST = 8,                        /* states kept; the newest one counts */
    LEDGER_MS = 5000,                       /* for which one is tried to be written */
};

struct minigame_rounds {
    struct minigame_rounds_options options;
    struct roster_watch *watch;
    struct wheel_timer tick;
    uint64_t since_us;                 /* when this node took its seat */
    json_t *state;                     /* as it is shown and told */
    json_t *draft;                     /* changed here, not known to be in the store; or NULL */
    int64_t first;                     /* version of the first change in the draft */
    int64_t highest;                   /* version that this node ever gave */
    char runner[MINIGAME_ROUNDS_NAME]; /* "": no node, or not known */
    bool current;                      /* the view is not old */
    bool in_roster;                    /* the store has the draft */
    bool reading;                      /* the ledger was asked for */
    bool loaded;                       /* what the ledger had is known here */
    bool ledger_behind;                /* the ledger may lack the state */
};

/* ------------------------------------------------------------------------------------ state */

/* With what was changed here. */
static json_t *latest(const struct minigame_rounds *rounds)
{
    return rounds->draft != NULL ? rounds->draft : rounds->state;
}

static bool is_by_here(const struct minigame_rounds *rounds, const json_t *state)
{
    return strcmp(json_string_value(json_object_get(state, "by")), rounds->options.node) == 0;
}

static char *seat_text(const struct minigame_rounds *rounds)
{
    json_t *seat =
        json_pack("{s:I, s:O}", "since", (json_int_t)rounds->since_us, "state", latest(rounds));
    char *text = json_dumps(seat, JSON_COMPACT);
    json_decref(seat);
    return text;
}

/* Long names take room: balances go, then old rounds, until the seat fits. */
static char *fitting_seat(struct minigame_rounds *rounds)
{
    json_t *games = json_object_get(latest(rounds), "rounds");
    json_t *balances = json_object_get(latest(rounds), "balances");
    char *text = seat_text(rounds);
    while (strlen(text) > MINIGAME_ROUNDS_VALUE_MOST &&
           (json_object_size(balances) > 0 || json_array_size(games) > 1)) {
        if (json_object_size(balances) > 0) {
            json_object_del(balances, json_object_iter_key(json_object_iter(balances)));
        } else {
            json_array_remove(games, 0);
        }
        free(text);
        text = seat_text(rounds);
    }
    return text;
}

static void claim(struct minigame_rounds *rounds)
{
    char *text = fitting_seat(rounds);
    roster_claim(rounds->options.store, KEY, span_str(rounds->options.node), span_str(text));
    free(text);
}

/* The draft, to be changed and committed. */
static json_t *edit(struct minigame_rounds *rounds)
{
    if (rounds->draft == NULL) {
        rounds->draft = json_deep_copy(rounds->state);
        rounds->first = 0;
    }
    return rounds->draft;
}

/* The draft was changed: the others shall take it. */
static void commit(struct minigame_rounds *rounds)
{
    json_t *draft = rounds->draft;
    int64_t version = minigame_state_number(draft, "version");
    rounds->highest = (version > rounds->highest ? version : rounds->highest) + 1;
    rounds->first = rounds->first == 0 ? rounds->highest : rounds->first;
    rounds->in_roster = false;
    minigame_state_set_number(draft, "version", rounds->highest);
    json_object_set_new(draft, "by", json_string(rounds->options.node));
    minigame_state_forget_oldest(draft);
    claim(rounds);
}

/* The draft has become the state, or is dropped. */
static void settle(struct minigame_rounds *rounds, bool kept)
{
    if (rounds->draft == NULL) {
        return;
    }
    if (kept) {
        json_decref(rounds->state);
        rounds->state = rounds->draft;
    } else {
        json_decref(rounds->draft);
    }
    rounds->draft = NULL;
    rounds->options.settled(rounds->options.arg, kept);
}

bool minigame_rounds_settled(const struct minigame_rounds *rounds)
{
    return rounds->draft == NULL;
}

/* ------------------------------------------------------------------------------------ ledger */

/* The state outlives the leases of all seats in a list without one. It is written when the seats have
 * it, so that nothing gets into the ledger that never happened, and told when the ledger has it. */

static void on_written(void *arg, uint64_t version, bool done)
{
    struct minigame_rounds *rounds = arg;
    rounds->ledger_behind = !done;
    if (!done) {
        log_warn("the minigame's ledger could not be written; it is tried again",
                 LOG_NUMBER_FIELD("version", version));
    }
    /* The seats have it in any case, so it happened. */
    if (rounds->draft != NULL &&
        minigame_state_number(rounds->draft, "version") <= (int64_t)version) {
        settle(rounds, true);
    }
}

static void write_ledger(struct minigame_rounds *rounds)
{
    char *text = json_dumps(latest(rounds), JSON_COMPACT);
    uint64_t version = (uint64_t)minigame_state_number(latest(rounds), "version");
    struct history_append append = {.key = LEDGER,
                                    .value = span_str(text),
                                    .most = LEDGER_MOST,
                                    .wait_ms = LEDGER_MS,
                                    .fn = on_written,
                                    .arg = rounds,
                                    .tag = version};
    rounds->ledger_behind = false;
    if (history_append(rounds->options.store, &append) != 0) {
        on_written(rounds, version, false);
    }
    free(text);
}

/* The newest state of the ledger, when no live node has a newer one. */
static void on_ledger(void *arg, uint64_t tag, bool ok, struct span entries)
{
    struct minigame_rounds *rounds = arg;
    struct history_entry entry;
    (void)tag;
    rounds->reading = false;
    rounds->loaded = rounds->loaded || ok;
    while (ok && history_next(&entries, &entry)) {
        json_t *state = json_loadb(entry.value.ptr, entry.value.len, 0, NULL);
        if (minigame_state_is_valid(state) && rounds->draft == NULL &&
            minigame_state_number(state, "version") >
                minigame_state_number(rounds->state, "version")) {
            json_decref(rounds->state);
            rounds->state = json_incref(state);
            claim(rounds);
        }
        json_decref(state);
    }
}

static void read_ledger(struct minigame_rounds *rounds)
{
    if (rounds->loaded || rounds->reading) {
        return;
    }
    rounds->reading =
        history_read(rounds->options.store, LEDGER, 0, LEDGER_MOST, on_ledger, rounds, 0) == 0;
}

/* ------------------------------------------------------------------------------------ seats */

/* What the seats say, all looked at. */
struct survey {
    struct minigame_rounds *rounds;
    json_t *seats;
    json_t *newest;        /* state in the others' seats, borrowed from `seats`; or NULL */
    uint64_t newest_since; /* of the seat that it lies in */
    bool shared;           /* another one has the same state as this node */
    uint64_t since;        /* of the longest sitting */
    char runner[MINIGAME_ROUNDS_NAME];
};

static void look_at_state(struct survey *survey, json_t *state, uint64_t since)
{
    int64_t version = minigame_state_number(state, "version");
    int64_t newest = survey->newest != NULL ? minigame_state_number(survey->newest, "version") : -1;
    survey->shared = survey->shared || minigame_state_is_same(state, survey->rounds->state);
    if (version > newest || (version == newest && since < survey->newest_since)) {
        survey->newest = state;
        survey->newest_since = since;
    }
}

static void look_at_seat(void *arg, const struct roster_member *member)
{
    struct survey *survey = arg;
    json_t *seat = json_loadb(member->value.ptr, member->value.len, 0, NULL);
    json_t *state = json_object_get(seat, "state");
    uint64_t since = (uint64_t)minigame_state_number(seat, "since");
    char name[MINIGAME_ROUNDS_NAME];
    if (!minigame_state_is_valid(state) || member->name.len >= MINIGAME_ROUNDS_NAME) {
        json_decref(seat);
        return;
    }
    snprintf(name, sizeof(name), "%.*s", SPAN_ARG(member->name));
    json_array_append_new(survey->seats, seat);
    if (strcmp(name, survey->rounds->options.node) != 0) {
        look_at_state(survey, state, since);
    }
    bool first = survey->runner[0] == '\0';
    if (first || since < survey->since ||
        (since == survey->since && strcmp(name, survey->runner) < 0)) {
        survey->since = since;
        memcpy(survey->runner, name, MINIGAME_ROUNDS_NAME);
    }
}

/* Has another node gone on from the state that this node has? This node's own draft comes back from
 * nodes that took it already. */
static bool is_overtaken(const struct survey *survey)
{
    const struct minigame_rounds *rounds = survey->rounds;
    int64_t own = minigame_state_number(rounds->state, "version");
    int64_t newest = survey->newest != NULL ? minigame_state_number(survey->newest, "version") : -1;
    if (newest > own) {
        return rounds->draft == NULL || newest < rounds->first ||
               !is_by_here(rounds, survey->newest);
    }
    /* Two drafts of the same version, and this node took the one that was dropped. */
    return newest == own && rounds->draft == NULL && !survey->shared &&
           !is_by_here(rounds, rounds->state);
}

static void take_view(struct minigame_rounds *rounds)
{
    struct survey survey = {.rounds = rounds, .seats = json_array()};
    roster_each(rounds->watch, look_at_seat, &survey);
    bool was_here = minigame_rounds_here(rounds);
    memcpy(rounds->runner, survey.runner, MINIGAME_ROUNDS_NAME);
    if (is_overtaken(&survey)) {
        settle(rounds, false);
        json_decref(rounds->state);
        rounds->state = json_incref(survey.newest);
        claim(rounds);
    }
    json_decref(survey.seats);
    if (!was_here && minigame_rounds_here(rounds) &&
        json_is_true(json_object_get(rounds->state, "running"))) {
        log_info("this node goes on with the minigame scheduler",
                 LOG_NUMBER_FIELD("round", minigame_state_number(rounds->state, "number")));
    }
}

/* The last change may not have reached the store; its caller is told so, and may ask again. */
static void go_stale(struct minigame_rounds *rounds)
{
    rounds->current = false;
    rounds->ledger_behind = true; /* the server that comes back may have lost it */
    if (rounds->draft != NULL) {
        settle(rounds, rounds->in_roster);
        claim(rounds);
    }
}

static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct minigame_rounds *rounds = arg;
    (void)member;
    if (event == ROSTER_STALE) {
        go_stale(rounds);
    } else if (event == ROSTER_CURRENT) {
        rounds->current = true;
        read_ledger(rounds);
        take_view(rounds);
        if (rounds->draft != NULL) {
            rounds->in_roster = true;
            write_ledger(rounds);
        }
    } else if (event == ROSTER_CHANGED) {
        take_view(rounds);
    }
}

/* After a server lost its data, others may have taken more than this node knows to be in the store:
 * no node goes on before they have said so, or their leases have run out. */
const char *minigame_rounds_runner(const struct minigame_rounds *rounds)
{
    bool known = rounds->current && rounds->loaded && !roster_holds(rounds->watch);
    return known && rounds->runner[0] != '\0' ? rounds->runner : NULL;
}

bool minigame_rounds_here(const struct minigame_rounds *rounds)
{
    const char *runner = minigame_rounds_runner(rounds);
    return runner != NULL && strcmp(runner, rounds->options.node) == 0;
}

/* ----------------------------------------------------------------------------------- rounds */

/* A fair choice of up to MINIGAME_PLAYERS_MOST among all players given to it (reservoir
 * sampling). */
struct draw {
    json_t *players;
    uint64_t seen;
};

static void draw_player(void *arg, struct span user)
{
    struct draw *draw = arg;
    json_t *name = json_stringn(user.ptr, user.len);
    uint64_t at = draw->seen++;
    if (at < MINIGAME_PLAYERS_MOST) {
        json_array_append_new(draw->players, name);
        return;
    }
    at = entropy_below(draw->seen);
    if (at < MINIGAME_PLAYERS_MOST) {
        json_array_set_new(draw->players, (size_t)at, name);
    } else {
        json_decref(name);
    }
}

/* New; or NULL while it is not known which players are online. */
static json_t *draw_players(struct minigame_rounds *rounds)
{
    struct draw draw = {.players = json_array()};
    if (!rounds->options.each_online(rounds->options.online, draw_player, &draw)) {
        json_decref(draw.players);
        return NULL;
    }
    return draw.players;
}

/* Steals `players`. */
static void set_up_round(struct minigame_rounds *rounds, json_t *players)
{
    json_t *state = edit(rounds);
    int64_t number = minigame_state_number(state, "number") + 1, now = (int64_t)clock_unix_ms();
    char id[32];
    snprintf(id, sizeof(id), "HLG-%" PRId64, number);
    json_t *round =
        json_pack("{s:s, s:s, s:I, s:I, s:o, s:b}", "id", id, "game",
                  number % 2 == 1 ? "boomer" : "speedspinner", "start_at",
                  (json_int_t)(now / 1000 + minigame_state_number(state, "offset")), "set_up_at",
                  (json_int_t)(now / 1000), "players", players, "ended", 0);
    json_array_append_new(json_object_get(state, "rounds"), round);
    minigame_state_set_number(state, "number", number);
    minigame_state_set_number(state, "next_at_ms",
                              now + minigame_state_number(state, "period") * 1000);
    commit(rounds);
    rounds->options.new_round(rounds->options.arg);
}

static void on_tick(struct wheel_timer *timer)
{
    struct minigame_rounds *rounds = CONTAINER_OF(timer, struct minigame_rounds, tick);
    read_ledger(rounds);
    if (rounds->ledger_behind && minigame_rounds_here(rounds) && minigame_rounds_settled(rounds) &&
        minigame_state_number(rounds->state, "version") > 0) {
        write_ledger(rounds);
    }
    if (minigame_rounds_here(rounds) && minigame_rounds_settled(rounds) &&
        minigame_rounds_running(rounds, NULL, NULL) &&
        minigame_state_number(rounds->state, "next_at_ms") <= (int64_t)clock_unix_ms()) {
        json_t *players = draw_players(rounds);
        if (players != NULL) {
            set_up_round(rounds, players);
        }
    }
    wheel_set(rounds->options.wheel, &rounds->tick, MINIGAME_ROUNDS_TICK_MS);
}

bool minigame_rounds_running(const struct minigame_rounds *rounds, unsigned *period,
                             unsigned *offset)
{
    const json_t *state = latest(rounds);
    if (!json_is_true(json_object_get(state, "running"))) {
        return false;
    }
    if (period != NULL) {
        *period = (unsigned)minigame_state_number(state, "period");
    }
    if (offset != NULL) {
        *offset = (unsigned)minigame_state_number(state, "offset");
    }
    return true;
}

bool minigame_rounds_start(struct minigame_rounds *rounds, unsigned period, unsigned offset)
{
    json_t *players = draw_players(rounds);
    if (players == NULL) {
        return false;
    }
    json_t *state = edit(rounds);
    json_object_set_new(state, "running", json_true());
    minigame_state_set_number(state, "period", period);
    minigame_state_set_number(state, "offset", offset);
    set_up_round(rounds, players);
    return true;
}

void minigame_rounds_stop(struct minigame_rounds *rounds)
{
    json_object_set_new(edit(rounds), "running", json_false());
    commit(rounds);
}

json_t *minigame_rounds_current(const struct minigame_rounds *rounds, bool flat)
{
    return flat ? minigame_state_flat(rounds->state) : minigame_state_shown(rounds->state);
}

/* ----------------------------------------------------------------------------- end of a game */

json_t *minigame_rounds_end(struct minigame_rounds *rounds, const char *id,
                            const json_t *leaderboard, char *error, size_t error_size)
{
    if (!minigame_rounds_running(rounds, NULL, NULL)) {
        snprintf(error, error_size, "scheduler not running");
        return NULL;
    }
    if (minigame_state_find(latest(rounds), id) == NULL) {
        snprintf(error, error_size, "game with id %s not found in list of running games", id);
        return NULL;
    }
    bool fresh = rounds->draft == NULL;
    json_t *draft = edit(rounds), *round = minigame_state_find(draft, id);
    json_t *paid = minigame_pay(json_object_get(round, "players"), leaderboard,
                                json_object_get(draft, "balances"), error, error_size);
    if (paid != NULL) {
        json_object_set_new(round, "ended", json_true());
        commit(rounds);
    } else if (fresh) {
        json_decref(draft);
        rounds->draft = NULL;
    }
    return paid;
}

/* ------------------------------------------------------------------------------------- life */

struct minigame_rounds *minigame_rounds_new(const struct minigame_rounds_options *options)
{
    struct minigame_rounds *rounds = mem_zalloc(sizeof(*rounds));
    rounds->options = *options;
    rounds->since_us = clock_unix_ms() * 1000;
    rounds->state = minigame_state_new();
    rounds->watch = roster_watch(options->store, KEY, on_roster, rounds);
    claim(rounds);
    wheel_timer_init(&rounds->tick, on_tick);
    wheel_set(options->wheel, &rounds->tick, MINIGAME_ROUNDS_TICK_MS);
    return rounds;
}

void minigame_rounds_free(struct minigame_rounds **rounds)
{
    if (*rounds == NULL) {
        return;
    }
    roster_unwatch(&(*rounds)->watch);
    wheel_cancel(&(*rounds)->tick);
    json_decref((*rounds)->state);
    json_decref((*rounds)->draft);
    free(*rounds);
    *rounds = NULL;
}
