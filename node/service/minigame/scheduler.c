/* SPDX-License-Identifier: MIT */
#include "node/service/minigame/scheduler.h"

#include "node/service/minigame/request.h"
#include "node/service/minigame/rounds.h"
#include "store/base/mem.h"
#include "store/bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC SPAN("minigame")

enum {
    PERIOD_PRESET = 600, /* seconds */
    OFFSET_PRESET = 300,
};

struct minigame_scheduler {
    struct minigame_scheduler_options options;
    struct minigame_rounds *rounds;
    struct bus_sub *sub;
    json_t *unsaid; /* letters that wait for what the runner changed to be in the store */
};

/* ------------------------------------------------------------------------------------- out */

/* Publishes `json` (stolen). 0, or -1 when it reaches no other node. */
static int publish(struct minigame_scheduler *scheduler, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    int sent = bus_publish(scheduler->options.store, TOPIC, span_str(text));
    free(text);
    json_decref(json);
    return sent;
}

static void say(struct minigame_scheduler *scheduler, const json_t *json)
{
    scheduler->options.say(scheduler->options.arg, json);
}

static void refuse(struct minigame_scheduler *scheduler, uint64_t asker, const char *error)
{
    scheduler->options.refused(scheduler->options.arg, asker, error);
}

/* To every socket of the cluster; while the bus is away, only to the sockets here. Steals
 * `json`. */
static void broadcast_now(struct minigame_scheduler *scheduler, json_t *json)
{
    if (publish(scheduler, json_pack("{s:O}", "all", json)) != 0) {
        say(scheduler, json);
    }
    json_decref(json);
}

/* A letter to "all", the answer "to" a node, or for the "own" socket that asked, which is told only
 * when nothing came of it: not `kept`. Borrowed. */
static void deliver(struct minigame_scheduler *scheduler, json_t *letter, bool kept)
{
    json_t *all = json_object_get(letter, "all"), *own = json_object_get(letter, "own");
    if (all != NULL && kept) {
        broadcast_now(scheduler, json_incref(all));
    } else if (json_object_get(letter, "to") != NULL) {
        if (!kept) {
            json_object_set_new(letter, "error", json_string(MINIGAME_UNREACHABLE));
        }
        publish(scheduler, json_incref(letter));
    } else if (own != NULL && !kept) {
        refuse(scheduler, (uint64_t)json_integer_value(own), MINIGAME_UNREACHABLE);
    }
}

/* Says it when what it speaks of is in the store. Steals `letter`. */
static void post(struct minigame_scheduler *scheduler, json_t *letter)
{
    if (minigame_rounds_settled(scheduler->rounds)) {
        deliver(scheduler, letter, true);
        json_decref(letter);
    } else {
        json_array_append_new(scheduler->unsaid, letter);
    }
}

static void on_settled(void *arg, bool kept)
{
    struct minigame_scheduler *scheduler = arg;
    json_t *letters = scheduler->unsaid;
    scheduler->unsaid = json_array();
    for (size_t i = 0; i < json_array_size(letters); i++) {
        deliver(scheduler, json_array_get(letters, i), kept);
    }
    json_decref(letters);
}

static void broadcast(struct minigame_scheduler *scheduler, json_t *json)
{
    post(scheduler, json_pack("{s:o}", "all", json));
}

static json_t *update_json(void)
{
    return json_pack("{s:s}", "info", "update");
}

static void on_new_round(void *arg)
{
    broadcast(arg, update_json());
}

void minigame_scheduler_update(struct minigame_scheduler *scheduler)
{
    broadcast_now(scheduler, update_json());
}

/* -------------------------------------------------------------------------------- as runner */

static void broadcast_scheduler(struct minigame_scheduler *scheduler)
{
    unsigned period, offset;
    if (minigame_rounds_running(scheduler->rounds, &period, &offset)) {
        broadcast(scheduler, json_pack("{s:s, s:i, s:i}", "info", "scheduler is running", "period",
                                       (int)period, "offset", (int)offset));
    } else {
        broadcast(scheduler, json_pack("{s:s}", "info", "scheduler is not running"));
    }
}

static void end_game(struct minigame_scheduler *scheduler, const json_t *request, char *error,
                     size_t error_size)
{
    const char *id = json_string_value(json_object_get(request, "id"));
    json_t *paid = minigame_rounds_end(scheduler->rounds, id != NULL ? id : "",
                                       json_object_get(request, "leaderboard"), error, error_size);
    if (paid != NULL) {
        broadcast(scheduler, json_pack("{s:s, s:o}", "action", "balance_update", "data", paid));
    }
}

static void stop_scheduler(struct minigame_scheduler *scheduler)
{
    if (minigame_rounds_running(scheduler->rounds, NULL, NULL)) {
        minigame_rounds_stop(scheduler->rounds);
        broadcast(scheduler, json_pack("{s:s}", "info", "scheduler is stopped"));
    } else {
        broadcast_scheduler(scheduler);
    }
}

static unsigned get_seconds(const json_t *request, const char *key, unsigned preset)
{
    const json_t *value = json_object_get(request, key);
    return value != NULL ? (unsigned)json_integer_value(value) : preset;
}

static void start_scheduler(struct minigame_scheduler *scheduler, const json_t *request,
                            char *error, size_t error_size)
{
    if (minigame_rounds_start(scheduler->rounds, get_seconds(request, "period", PERIOD_PRESET),
                              get_seconds(request, "offset", OFFSET_PRESET))) {
        broadcast_scheduler(scheduler);
    } else {
        snprintf(error, error_size, "%s", MINIGAME_NO_PLAYERS);
    }
}

/* Does what a well-formed request wants; `error` says why not. */
static void carry_out(struct minigame_scheduler *scheduler, const json_t *request, char *error,
                      size_t error_size)
{
    switch (minigame_request_action(request)) {
    case MINIGAME_START:
        start_scheduler(scheduler, request, error, error_size);
        break;
    case MINIGAME_STOP:
        stop_scheduler(scheduler);
        break;
    case MINIGAME_INFO:
        broadcast_scheduler(scheduler);
        break;
    default:
        end_game(scheduler, request, error, error_size);
        break;
    }
}

/* ----------------------------------------------------------------------------------- the bus */

static void on_answer(struct minigame_scheduler *scheduler, const json_t *letter)
{
    const char *error = json_string_value(json_object_get(letter, "error"));
    scheduler->options.answered(scheduler->options.arg,
                                (uint64_t)json_integer_value(json_object_get(letter, "id")),
                                error != NULL ? error : "");
}

static void on_request(struct minigame_scheduler *scheduler, const json_t *letter)
{
    const json_t *request = json_object_get(letter, "request");
    char error[512] = "";
    if (!minigame_rounds_here(scheduler->rounds)) {
        snprintf(error, sizeof(error), "%s", MINIGAME_UNREACHABLE); /* it has just moved */
    } else if (json_is_string(json_object_get(request, "action"))) {
        carry_out(scheduler, request, error, sizeof(error));
    }
    json_t *words = json_string(error);
    post(scheduler, json_pack("{s:O, s:O, s:o}", "to", json_object_get(letter, "from"), "id",
                              json_object_get(letter, "id"), "error",
                              words != NULL ? words : json_string(MINIGAME_UNREACHABLE)));
}

static void on_letter(struct minigame_scheduler *scheduler, const json_t *letter)
{
    const json_t *all = json_object_get(letter, "all");
    const char *to = json_string_value(json_object_get(letter, "to"));
    if (all != NULL) {
        say(scheduler, all);
    } else if (to != NULL && strcmp(to, scheduler->options.node) == 0) {
        if (json_object_get(letter, "request") != NULL) {
            on_request(scheduler, letter);
        } else {
            on_answer(scheduler, letter);
        }
    }
}

/* Something may have been missed before it is READY: game servers look at the events then. */
static void on_bus(void *arg, enum bus_event event, struct span payload)
{
    struct minigame_scheduler *scheduler = arg;
    if (event == BUS_READY) {
        json_t *update = update_json();
        say(scheduler, update);
        json_decref(update);
    } else if (event == BUS_MESSAGE) {
        json_t *letter = json_loadb(payload.ptr, payload.len, 0, NULL);
        on_letter(scheduler, letter);
        json_decref(letter);
    }
}

/* -------------------------------------------------------------------------------- requests */

/* This node is the runner. */
static void carry_out_own(struct minigame_scheduler *scheduler, uint64_t asker,
                          const json_t *request)
{
    char error[512] = "";
    carry_out(scheduler, request, error, sizeof(error));
    if (error[0] != '\0') {
        refuse(scheduler, asker, error);
    } else {
        post(scheduler, json_pack("{s:I}", "own", (json_int_t)asker));
    }
}

static bool send_request(struct minigame_scheduler *scheduler, const char *runner, uint64_t asker,
                         json_t *request)
{
    return publish(scheduler,
                   json_pack("{s:s, s:s, s:I, s:O}", "to", runner, "from", scheduler->options.node,
                             "id", (json_int_t)asker, "request", request)) == 0;
}

bool minigame_scheduler_ask(struct minigame_scheduler *scheduler, uint64_t asker, json_t *request)
{
    const char *runner = minigame_rounds_runner(scheduler->rounds);
    if (runner != NULL && minigame_rounds_here(scheduler->rounds)) {
        carry_out_own(scheduler, asker, request);
        return false;
    }
    if (runner != NULL && send_request(scheduler, runner, asker, request)) {
        return true;
    }
    refuse(scheduler, asker, MINIGAME_UNREACHABLE);
    return false;
}

json_t *minigame_scheduler_current(const struct minigame_scheduler *scheduler, bool flat)
{
    return minigame_rounds_current(scheduler->rounds, flat);
}

/* ------------------------------------------------------------------------------------- life */

struct minigame_scheduler *minigame_scheduler_new(const struct minigame_scheduler_options *options)
{
    struct minigame_scheduler *scheduler = mem_zalloc(sizeof(*scheduler));
    scheduler->options = *options;
    scheduler->unsaid = json_array();
    scheduler->sub = bus_subscribe(options->store, TOPIC, BUS_ECHO, on_bus, scheduler);
    scheduler->rounds = minigame_rounds_new(&(struct minigame_rounds_options){
        .store = options->store,
        .wheel = options->wheel,
        .node = options->node,
        .each_online = options->each_online,
        .online = options->online,
        .new_round = on_new_round,
        .settled = on_settled,
        .arg = scheduler,
    });
    return scheduler;
}

void minigame_scheduler_free(struct minigame_scheduler **scheduler)
{
    if (*scheduler == NULL) {
        return;
    }
    minigame_rounds_free(&(*scheduler)->rounds);
    bus_unsubscribe(&(*scheduler)->sub);
    json_decref((*scheduler)->unsaid);
    free(*scheduler);
    *scheduler = NULL;
}
