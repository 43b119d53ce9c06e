/* SPDX-License-Identifier: MIT */
#include "node/service/minigame/scheduler.h"

#include "node/core/log.h"
#include "node/service/minigame/letters.h"
#include "node/service/minigame/line.h"
#include "node/service/minigame/prizes.h"
#include "node/service/minigame/request.h"
#include "node/service/minigame/state.h"
#include "node/service/minigame/survey.h"
#include "store/base/clock.h"
#include "store/base/mem.h"
#include "store/bus.h"
#include "store/history/history.h"
#include "store/roster/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEDGER SPAN("minigame:ledger")

enum {
    MINIGAME_TICK_MS = 200,
    UPDATE_PAUSE_MS = 100,          /* between two updates that somebody asked for */
    MINIGAME_SEAT_MOST = 60 * 1024, /* bytes of a seat; a roster value holds 64 KiB */
    LEDGER_MOST = 8,                /* states kept; the newest one counts */
    LEDGER_MS = 5000,               /* for which one is tried to be written */
    PERIOD_PRESET = 600,            /* seconds */
    OFFSET_PRESET = 300,
    UNSAID_MOST = 64, /* letters that wait for the draft: all of them go in one turn */
};

struct minigame_scheduler {
    struct minigame_scheduler_options options;
    struct minigame_post letters;
    struct bus_sub *sub;
    struct roster_watch *watch;
    struct wheel_timer tick;
    struct wheel_timer update; /* says one that waits */
    uint64_t updated_ms;       /* monotonic, of the last one; 0: none yet */
    bool update_waits;
    uint64_t since_us;               /* when this node took its seat */
    struct minigame_state *state;    /* as it is shown and told */
    struct minigame_state *draft;    /* changed here, not known to be in the store; or NULL */
    json_t *unsaid;                  /* letters that wait for the draft to be in the store */
    struct minigame_line line;       /* what this node was asked as the runner */
    int64_t first;                   /* version of the first change in the draft */
    int64_t highest;                 /* version that this node ever gave */
    char runner[MINIGAME_NODE_SIZE]; /* "": no node, or not known */
    bool current;                    /* the view is not old */
    bool in_roster;                  /* the store has the draft */
    bool reading;                    /* the ledger was asked for */
    bool loaded;                     /* what the ledger had is known here */
    bool ledger_behind;              /* the ledger may lack the state */
};

/* ------------------------------------------------------------------------------------ letters */

/* Says it when what it speaks of is in the store. Steals `letter`. */
static void post(struct minigame_scheduler *scheduler, json_t *letter)
{
    if (scheduler->draft == NULL) {
        minigame_post_deliver(&scheduler->letters, letter, true);
        json_decref(letter);
    } else {
        json_array_append_new(scheduler->unsaid, letter);
    }
}

/* What waits and would be said twice is said once, the last time. Steals `json`. */
static void broadcast(struct minigame_scheduler *scheduler, json_t *json)
{
    json_t *letter = json_pack("{s:o}", "all", json);
    for (size_t i = json_array_size(scheduler->unsaid); i > 0; i--) {
        if (json_equal(json_array_get(scheduler->unsaid, i - 1), letter)) {
            json_array_remove(scheduler->unsaid, i - 1);
        }
    }
    post(scheduler, letter);
}

/* May more wait? A flood of requests is not to make one long turn when the store has answered. */
static bool has_room(const struct minigame_scheduler *scheduler)
{
    return json_array_size(scheduler->unsaid) < UNSAID_MOST;
}

static void say_update(struct minigame_scheduler *scheduler)
{
    scheduler->updated_ms = clock_monotonic_ms();
    scheduler->update_waits = false;
    minigame_post_broadcast(&scheduler->letters, minigame_post_update());
}

static void on_update_due(struct wheel_timer *timer)
{
    say_update(CONTAINER_OF(timer, struct minigame_scheduler, update));
}

void minigame_scheduler_update(struct minigame_scheduler *scheduler)
{
    uint64_t now = clock_monotonic_ms(), next = scheduler->updated_ms + UPDATE_PAUSE_MS;
    if (scheduler->updated_ms == 0 || now >= next) {
        wheel_cancel(&scheduler->update);
        say_update(scheduler);
    } else if (!scheduler->update_waits) {
        scheduler->update_waits = true;
        wheel_set(scheduler->options.wheel, &scheduler->update, next - now);
    }
}

/* ------------------------------------------------------------------------------------ state */

/* With what was changed here. */
static struct minigame_state *latest(const struct minigame_scheduler *scheduler)
{
    return scheduler->draft != NULL ? scheduler->draft : scheduler->state;
}

static bool is_by_here(const struct minigame_scheduler *scheduler,
                       const struct minigame_state *state)
{
    return strcmp(state->by, scheduler->options.node) == 0;
}

/* Long names take room: balances go, then old rounds, until the seat fits. */
static void claim(struct minigame_scheduler *scheduler)
{
    struct minigame_state *state = latest(scheduler);
    char *text = minigame_state_print_seat(state, scheduler->since_us);
    while (strlen(text) > MINIGAME_SEAT_MOST && minigame_state_forget(state)) {
        free(text);
        text = minigame_state_print_seat(state, scheduler->since_us);
    }
    roster_claim(scheduler->options.store, MINIGAME_KEY, span_str(scheduler->options.node),
                 span_str(text));
    free(text);
}

/* The draft, to be changed and committed. */
static struct minigame_state *edit(struct minigame_scheduler *scheduler)
{
    if (scheduler->draft == NULL) {
        scheduler->draft = minigame_state_copy(scheduler->state);
        scheduler->first = 0;
    }
    return scheduler->draft;
}

/* The draft was changed: the others shall take it. */
static void commit(struct minigame_scheduler *scheduler)
{
    struct minigame_state *draft = scheduler->draft;
    int64_t highest = scheduler->highest;
    scheduler->highest = (draft->version > highest ? draft->version : highest) + 1;
    scheduler->first = scheduler->first == 0 ? scheduler->highest : scheduler->first;
    scheduler->in_roster = false;
    draft->version = scheduler->highest;
    snprintf(draft->by, sizeof(draft->by), "%s", scheduler->options.node);
    claim(scheduler);
}

/* The draft has become the state, or is dropped; what there is to say of it is said. */
static void settle(struct minigame_scheduler *scheduler, bool kept)
{
    if (scheduler->draft == NULL) {
        return;
    }
    if (kept) {
        minigame_state_free(&scheduler->state);
        scheduler->state = scheduler->draft;
        scheduler->draft = NULL;
    } else {
        minigame_state_free(&scheduler->draft);
    }
    json_t *letters = scheduler->unsaid;
    scheduler->unsaid = json_array();
    for (size_t i = 0; i < json_array_size(letters); i++) {
        minigame_post_deliver(&scheduler->letters, json_array_get(letters, i), kept);
    }
    json_decref(letters);
}

/* ------------------------------------------------------------------------------------ ledger */

/* The state outlives the leases of all seats in a list without one. It is written when the seats have
 * it, so that nothing gets into the ledger that never happened, and told when the ledger has it. */

static void on_written(void *arg, uint64_t version, bool done)
{
    struct minigame_scheduler *scheduler = arg;
    scheduler->ledger_behind = !done;
    if (!done) {
        log_warn("the minigame's ledger could not be written; it is tried again",
                 LOG_NUMBER_FIELD("version", version));
    }
    /* The seats have it in any case, so it happened. */
    if (scheduler->draft != NULL && scheduler->draft->version <= (int64_t)version) {
        settle(scheduler, true);
    }
}

static void write_ledger(struct minigame_scheduler *scheduler)
{
    char *text = minigame_state_print(latest(scheduler));
    uint64_t version = (uint64_t)latest(scheduler)->version;
    struct history_append append = {.key = LEDGER,
                                    .value = span_str(text),
                                    .most = LEDGER_MOST,
                                    .wait_ms = LEDGER_MS,
                                    .fn = on_written,
                                    .arg = scheduler,
                                    .tag = version};
    scheduler->ledger_behind = false;
    if (history_append(scheduler->options.store, &append) != 0) {
        on_written(scheduler, version, false);
    }
    free(text);
}

/* The newest state of the ledger, when no live node has a newer one. */
static void on_ledger(void *arg, uint64_t tag, bool ok, struct span entries)
{
    struct minigame_scheduler *scheduler = arg;
    struct history_entry entry;
    (void)tag;
    scheduler->reading = false;
    scheduler->loaded = scheduler->loaded || ok;
    while (ok && history_next(&entries, &entry)) {
        struct minigame_state *state = minigame_state_read(entry.value);
        if (state != NULL && scheduler->draft == NULL &&
            state->version > scheduler->state->version) {
            minigame_state_free(&scheduler->state);
            scheduler->state = state;
            claim(scheduler);
        } else {
            minigame_state_free(&state);
        }
    }
}

static void read_ledger(struct minigame_scheduler *scheduler)
{
    if (!scheduler->loaded && !scheduler->reading) {
        scheduler->reading = history_read(scheduler->options.store, LEDGER, 0, LEDGER_MOST,
                                          on_ledger, scheduler, 0) == 0;
    }
}

/* ------------------------------------------------------------------------------------ seats */

/* Has another node gone on from the state that this node has? This node's own draft comes back from
 * nodes that took it already. */
static bool is_overtaken(const struct minigame_scheduler *scheduler,
                         const struct minigame_survey *survey)
{
    int64_t own = scheduler->state->version;
    int64_t newest = survey->newest != NULL ? survey->newest->version : -1;
    if (newest > own) {
        return scheduler->draft == NULL || newest < scheduler->first ||
               !is_by_here(scheduler, survey->newest);
    }
    /* Two drafts of the same version, and this node took the one that was dropped. */
    return newest == own && scheduler->draft == NULL && !survey->shared &&
           !is_by_here(scheduler, scheduler->state);
}

/* After a server lost its data, others may have taken more than this node knows to be in the store:
 * no node goes on before they have said so, or their leases have run out. NULL while it is not
 * known which node is the runner. */
static const char *runner_of(const struct minigame_scheduler *scheduler)
{
    bool known = scheduler->current && scheduler->loaded && !roster_holds(scheduler->watch);
    return known && scheduler->runner[0] != '\0' ? scheduler->runner : NULL;
}

static bool is_runner(const struct minigame_scheduler *scheduler)
{
    const char *runner = runner_of(scheduler);
    return runner != NULL && strcmp(runner, scheduler->options.node) == 0;
}

static void take_view(struct minigame_scheduler *scheduler)
{
    struct minigame_survey survey = {.node = scheduler->options.node, .state = scheduler->state};
    minigame_survey_take(&survey, scheduler->watch);
    bool was_runner = is_runner(scheduler);
    memcpy(scheduler->runner, survey.runner, MINIGAME_NODE_SIZE);
    if (is_overtaken(scheduler, &survey)) {
        settle(scheduler, false);
        minigame_state_free(&scheduler->state);
        scheduler->state = survey.newest;
        survey.newest = NULL;
        claim(scheduler);
    }
    minigame_state_free(&survey.newest);
    if (!was_runner && is_runner(scheduler) && scheduler->state->running) {
        log_info("this node goes on with the minigame scheduler",
                 LOG_NUMBER_FIELD("round", scheduler->state->number));
    }
}

static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct minigame_scheduler *scheduler = arg;
    (void)member;
    switch (event) {
    case ROSTER_STALE:
        /* The last change may not have reached the store; its caller is told so, and may ask again. */
        scheduler->current = false;
        scheduler->ledger_behind = true; /* the server that comes back may have lost it */
        if (scheduler->draft != NULL) {
            settle(scheduler, scheduler->in_roster);
            claim(scheduler);
        }
        break;
    case ROSTER_CURRENT:
        scheduler->current = true;
        read_ledger(scheduler);
        take_view(scheduler);
        if (scheduler->draft != NULL) {
            scheduler->in_roster = true;
            write_ledger(scheduler);
        }
        break;
    case ROSTER_CHANGED:
        take_view(scheduler);
        break;
    case ROSTER_SET:
    case ROSTER_GONE:
        break;
    }
}

/* ------------------------------------------------------------------------------------ rounds */

/* With the players that were drawn. */
static void set_up_round(struct minigame_scheduler *scheduler)
{
    struct minigame_round *round =
        minigame_state_add_round(edit(scheduler), (int64_t)clock_unix_ms());
    minigame_line_give_players(&scheduler->line, round);
    commit(scheduler);
    broadcast(scheduler, minigame_post_update());
}

static bool is_round_due(const struct minigame_scheduler *scheduler)
{
    const struct minigame_state *state = scheduler->state;
    return is_runner(scheduler) && scheduler->draft == NULL && state->running &&
           state->next_at_ms <= (int64_t)clock_unix_ms();
}

/* The line has its players. */
static void on_round(void *arg)
{
    struct minigame_scheduler *scheduler = arg;
    if (is_round_due(scheduler)) {
        set_up_round(scheduler);
    }
}

static void on_tick(struct wheel_timer *timer)
{
    struct minigame_scheduler *scheduler = CONTAINER_OF(timer, struct minigame_scheduler, tick);
    const struct minigame_state *state = scheduler->state;
    read_ledger(scheduler);
    if (scheduler->ledger_behind && is_runner(scheduler) && scheduler->draft == NULL &&
        state->version > 0) {
        write_ledger(scheduler);
    }
    if (is_round_due(scheduler)) {
        minigame_line_draw(&scheduler->line);
    }
    wheel_set(scheduler->options.wheel, &scheduler->tick, MINIGAME_TICK_MS);
}

json_t *minigame_scheduler_current(const struct minigame_scheduler *scheduler, bool flat)
{
    return flat ? minigame_state_flat(scheduler->state) : minigame_state_shown(scheduler->state);
}

/* ------------------------------------------------------------------------------------ as runner */

static void broadcast_scheduler(struct minigame_scheduler *scheduler)
{
    const struct minigame_state *state = latest(scheduler);
    if (state->running) {
        broadcast(scheduler,
                  json_pack("{s:s, s:I, s:I}", "info", "scheduler is running", "period",
                            (json_int_t)state->period, "offset", (json_int_t)state->offset));
    } else {
        broadcast(scheduler, json_pack("{s:s}", "info", "scheduler is not running"));
    }
}

static int64_t get_seconds(const json_t *request, const char *key, int64_t preset)
{
    const json_t *value = json_object_get(request, key);
    return value != NULL ? json_integer_value(value) : preset;
}

/* Starts the game, or starts it again: a round is set up now, and then one in every `period`
 * seconds; games begin `offset` seconds after their round was set up. */
static void start(struct minigame_scheduler *scheduler, const json_t *request, char *error,
                  size_t error_size)
{
    if (!minigame_line_knows_players(&scheduler->line)) {
        snprintf(error, error_size, "%s", MINIGAME_NO_PLAYERS);
        return;
    }
    struct minigame_state *draft = edit(scheduler);
    draft->running = true;
    draft->period = get_seconds(request, "period", PERIOD_PRESET);
    draft->offset = get_seconds(request, "offset", OFFSET_PRESET);
    set_up_round(scheduler);
    broadcast_scheduler(scheduler);
}

/* Ends a game and pays its prizes. */
static void end_game(struct minigame_scheduler *scheduler, const json_t *request, char *error,
                     size_t error_size)
{
    const char *id = json_string_value(json_object_get(request, "id"));
    id = id != NULL ? id : "";
    if (!latest(scheduler)->running) {
        snprintf(error, error_size, "scheduler not running");
        return;
    }
    if (minigame_state_find(latest(scheduler), id) == NULL) {
        snprintf(error, error_size, "game with id %s not found in list of running games", id);
        return;
    }
    bool fresh = scheduler->draft == NULL;
    struct minigame_state *draft = edit(scheduler);
    struct minigame_round *round = minigame_state_find(draft, id);
    json_t *paid =
        minigame_pay(draft, round, json_object_get(request, "leaderboard"), error, error_size);
    if (paid != NULL) {
        round->ended = true;
        commit(scheduler);
        broadcast(scheduler, json_pack("{s:s, s:o}", "action", "balance_update", "data", paid));
    } else if (fresh) {
        minigame_state_free(&scheduler->draft);
    }
}

/* Does what a well-formed request wants; `error` says why not. */
static void carry_out(struct minigame_scheduler *scheduler, const json_t *request, char *error,
                      size_t error_size)
{
    switch (minigame_request_action(request)) {
    case MINIGAME_START:
        start(scheduler, request, error, error_size);
        break;
    case MINIGAME_STOP:
        if (latest(scheduler)->running) {
            edit(scheduler)->running = false;
            commit(scheduler);
            broadcast(scheduler, json_pack("{s:s}", "info", "scheduler is stopped"));
        } else {
            broadcast_scheduler(scheduler);
        }
        break;
    case MINIGAME_INFO:
        broadcast_scheduler(scheduler);
        break;
    default:
        end_game(scheduler, request, error, error_size);
        break;
    }
}

/* ------------------------------------------------------------------------------------ the bus */

/* To another node that asked, or to a socket here. */
static void tell_outcome(struct minigame_scheduler *scheduler, const json_t *letter,
                         const char *error)
{
    const json_t *own = json_object_get(letter, "own");
    if (own != NULL && error[0] != '\0') {
        minigame_sockets_refuse(scheduler->options.sockets, (uint64_t)json_integer_value(own),
                                error);
    } else if (own != NULL) {
        post(scheduler, json_pack("{s:O}", "own", own));
    } else {
        json_t *words = json_string(error);
        json_t *outcome = json_pack("{s:O, s:O, s:o}", "to", json_object_get(letter, "from"), "id",
                                    json_object_get(letter, "id"), "error",
                                    words != NULL ? words : json_string(MINIGAME_UNREACHABLE));
        if (has_room(scheduler)) {
            post(scheduler, outcome);
        } else {
            minigame_post_publish(&scheduler->letters, outcome);
        }
    }
}

/* The line serves a letter. */
static void on_served(void *arg, const json_t *letter, const char *refusal)
{
    struct minigame_scheduler *scheduler = arg;
    const json_t *request = json_object_get(letter, "request");
    char error[512] = "";
    if (refusal != NULL) {
        snprintf(error, sizeof(error), "%s", refusal);
    } else if (!is_runner(scheduler)) {
        snprintf(error, sizeof(error), "%s", MINIGAME_UNREACHABLE); /* it has just moved */
    } else if (!has_room(scheduler)) {
        snprintf(error, sizeof(error), "%s", MINIGAME_TOO_MANY);
    } else if (json_is_string(json_object_get(request, "action"))) {
        carry_out(scheduler, request, error, sizeof(error));
    }
    tell_outcome(scheduler, letter, error);
}

static bool needs_players(void *arg, const json_t *letter)
{
    const struct minigame_scheduler *scheduler = arg;
    const json_t *request = json_object_get(letter, "request");
    return is_runner(scheduler) && has_room(scheduler) &&
           json_is_string(json_object_get(request, "action")) &&
           minigame_request_action(request) == MINIGAME_START;
}

static void on_letter(struct minigame_scheduler *scheduler, const json_t *letter)
{
    const json_t *all = json_object_get(letter, "all");
    const char *to = json_string_value(json_object_get(letter, "to"));
    if (all != NULL) {
        minigame_sockets_say(scheduler->options.sockets, all);
    } else if (to == NULL || strcmp(to, scheduler->options.node) != 0) {
        return;
    } else if (json_object_get(letter, "request") != NULL) {
        minigame_line_ask(&scheduler->line, json_deep_copy(letter));
    } else {
        const char *error = json_string_value(json_object_get(letter, "error"));
        minigame_sockets_answer(scheduler->options.sockets,
                                (uint64_t)json_integer_value(json_object_get(letter, "id")),
                                error != NULL ? error : "");
    }
}

/* Something may have been missed before it is READY: game servers look at the events then. */
static void on_bus(void *arg, enum bus_event event, struct span payload)
{
    struct minigame_scheduler *scheduler = arg;
    if (event == BUS_READY) {
        json_t *update = minigame_post_update();
        minigame_sockets_say(scheduler->options.sockets, update);
        json_decref(update);
    } else if (event == BUS_MESSAGE) {
        json_t *letter = json_loadb(payload.ptr, payload.len, 0, NULL);
        on_letter(scheduler, letter);
        json_decref(letter);
    }
}

void minigame_scheduler_ask(struct minigame_scheduler *scheduler, uint64_t asker, json_t *request)
{
    struct minigame_sockets *sockets = scheduler->options.sockets;
    const char *runner = runner_of(scheduler);
    if (is_runner(scheduler)) {
        minigame_line_ask(&scheduler->line,
                          json_pack("{s:I, s:O}", "own", (json_int_t)asker, "request", request));
    } else if (runner != NULL &&
               minigame_post_publish(&scheduler->letters,
                                     json_pack("{s:s, s:s, s:I, s:O}", "to", runner, "from",
                                               scheduler->options.node, "id", (json_int_t)asker,
                                               "request", request)) == 0) {
        minigame_sockets_await(sockets, asker);
    } else {
        minigame_sockets_refuse(sockets, asker, MINIGAME_UNREACHABLE);
    }
}

/* ------------------------------------------------------------------------------------ life */

struct minigame_scheduler *minigame_scheduler_new(const struct minigame_scheduler_options *options)
{
    struct minigame_scheduler *scheduler = mem_zalloc(sizeof(*scheduler));
    scheduler->options = *options;
    scheduler->letters = (struct minigame_post){options->store, options->sockets};
    scheduler->unsaid = json_array();
    minigame_line_init(&scheduler->line,
                       &(struct minigame_line_options){.net = options->net,
                                                       .online = options->online,
                                                       .needs_players = needs_players,
                                                       .serve = on_served,
                                                       .round = on_round,
                                                       .arg = scheduler});
    scheduler->since_us = clock_unix_ms() * 1000;
    scheduler->state = minigame_state_new();
    scheduler->sub = bus_subscribe(options->store, MINIGAME_KEY, BUS_ECHO, on_bus, scheduler);
    scheduler->watch = roster_watch(options->store, MINIGAME_KEY, on_roster, scheduler);
    claim(scheduler);
    wheel_timer_init(&scheduler->tick, on_tick);
    wheel_timer_init(&scheduler->update, on_update_due);
    wheel_set(options->wheel, &scheduler->tick, MINIGAME_TICK_MS);
    return scheduler;
}

void minigame_scheduler_free(struct minigame_scheduler **scheduler)
{
    struct minigame_scheduler *gone = *scheduler;
    if (gone == NULL) {
        return;
    }
    *scheduler = NULL;
    roster_unwatch(&gone->watch);
    bus_unsubscribe(&gone->sub);
    wheel_cancel(&gone->tick);
    wheel_cancel(&gone->update);
    minigame_state_free(&gone->state);
    minigame_state_free(&gone->draft);
    minigame_line_deinit(&gone->line);
    json_decref(gone->unsaid);
    free(gone);
}
