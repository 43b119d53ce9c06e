/* Requests that concern the scheduler go to the node that runs it; what it has to say to all comes
 * back over the bus, to its own sockets too, so that every socket hears the same in the same order.
 *
 *     request --> own node: well-formed? --bus {"to", "from", "id", "request"}--> runner: does it
 *     sockets <-- every node   <--bus {"all"}------------------------------------'   |
 *     asker   <-- own node     <--bus {"to", "id", "error"}--------------------------'
 *
 * A node that runs the scheduler itself leaves out the way there and back. What the runner has to
 * say of a change waits until the store has the change. */
#include "node/service/minigame.h"

#include "node/core/log.h"
#include "node/fanout/room.h"
#include "node/net/allowance.h"
#include "node/proto/bearer.h"
#include "node/proto/ws.h"
#include "node/service/minigame_request.h"
#include "node/service/minigame_rounds.h"
#include "store/base/clock.h"
#include "store/base/map.h"
#include "store/bus.h"

#include <stdlib.h>

#define TOPIC SPAN("minigame")
#define UNREACHABLE "the scheduler cannot be reached now, please try again"

enum {
    PERIOD_PRESET = 600, /* seconds */
    OFFSET_PRESET = 300,
    ANSWER_MS = 5000,   /* for the runner to answer */
    ONLINE_MOST = 5000, /* players in an answer */
    RATE = 20,          /* requests a second of one socket, in the long run */
    BURST = 100,        /* and at once */
};

struct minigame {
    struct minigame_options options;
    struct minigame_rounds *rounds;
    struct room room;
    struct map sockets; /* by id */
    struct bus_sub *sub;
    json_t *unsaid; /* letters that wait for what the runner changed to be in the store */
};

/* One game server. */
struct game_server {
    struct minigame *minigame;
    struct ws *ws;
    struct room_member member;
    struct map_node node;
    uint64_t id;   /* key of `node` */
    unsigned open; /* requests that the runner has not answered */
    struct wheel_timer timer;
    struct allowance allowance;
};

/* ------------------------------------------------------------------------------------- out */

/* Steals `json`. */
static void send_json(struct game_server *server, json_t *json)
{
    char *text = json_dumps(json, 0);
    ws_send(server->ws, WS_TEXT, span_str(text));
    free(text);
    json_decref(json);
}

static void send_error(struct game_server *server, const char *text)
{
    json_t *words = json_string(text);
    send_json(server, json_pack("{s:o}", "error", words != NULL ? words : json_string("bad text")));
}

/* Publishes `json` (stolen). 0, or -1 when it reaches nobody elsewhere. */
static int publish(struct minigame *minigame, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    int sent = bus_publish(minigame->options.store, TOPIC, span_str(text));
    free(text);
    json_decref(json);
    return sent;
}

static void send_here(struct minigame *minigame, const json_t *json)
{
    char *text = json_dumps(json, 0);
    room_send(&minigame->room, span_str(text), NULL);
    free(text);
}

/* To every socket of the cluster; to those here alone while the bus is away. Steals `json`. */
static void broadcast_now(struct minigame *minigame, json_t *json)
{
    if (publish(minigame, json_pack("{s:O}", "all", json)) != 0) {
        send_here(minigame, json);
    }
    json_decref(json);
}

static struct game_server *find(const struct minigame *minigame, uint64_t id)
{
    struct map_node *node = map_find(&minigame->sockets, span_of(&id, sizeof id));
    return node != NULL ? MAP_ENTRY(node, struct game_server, node) : NULL;
}

/* A letter to "all", the answer "to" a node, or for the "own" socket that asked, who is told only
 * when nothing came of it: not `kept`. Borrowed. */
static void deliver(struct minigame *minigame, json_t *letter, bool kept)
{
    json_t *all = json_object_get(letter, "all"), *own = json_object_get(letter, "own");
    struct game_server *server =
        own != NULL ? find(minigame, (uint64_t)json_integer_value(own)) : NULL;
    if (all != NULL && kept) {
        broadcast_now(minigame, json_incref(all));
    } else if (json_object_get(letter, "to") != NULL) {
        if (!kept) {
            json_object_set_new(letter, "error", json_string(UNREACHABLE));
        }
        publish(minigame, json_incref(letter));
    } else if (server != NULL && !kept) {
        send_error(server, UNREACHABLE);
    }
}

/* Says it when what it speaks of is in the store. Steals `letter`. */
static void post(struct minigame *minigame, json_t *letter)
{
    if (minigame_rounds_settled(minigame->rounds)) {
        deliver(minigame, letter, true);
        json_decref(letter);
    } else {
        json_array_append_new(minigame->unsaid, letter);
    }
}

static void on_settled(void *arg, bool kept)
{
    struct minigame *minigame = arg;
    json_t *letters = minigame->unsaid;
    minigame->unsaid = json_array();
    for (size_t i = 0; i < json_array_size(letters); i++) {
        deliver(minigame, json_array_get(letters, i), kept);
    }
    json_decref(letters);
}

static void broadcast(struct minigame *minigame, json_t *json)
{
    post(minigame, json_pack("{s:o}", "all", json));
}

static void broadcast_update(struct minigame *minigame)
{
    broadcast(minigame, json_pack("{s:s}", "info", "update"));
}

static void broadcast_scheduler(struct minigame *minigame)
{
    unsigned period, offset;
    if (minigame_rounds_running(minigame->rounds, &period, &offset)) {
        broadcast(minigame, json_pack("{s:s, s:i, s:i}", "info", "scheduler is running", "period",
                                      (int)period, "offset", (int)offset));
    } else {
        broadcast(minigame, json_pack("{s:s}", "info", "scheduler is not running"));
    }
}

/* -------------------------------------------------------------------------------- as runner */

static void end_game(struct minigame *minigame, const json_t *request, char *error,
                     size_t error_size)
{
    const char *id = json_string_value(json_object_get(request, "id"));
    json_t *paid = minigame_rounds_end(minigame->rounds, id != NULL ? id : "",
                                       json_object_get(request, "leaderboard"), error, error_size);
    if (paid != NULL) {
        broadcast(minigame, json_pack("{s:s, s:o}", "action", "balance_update", "data", paid));
    }
}

static void stop_scheduler(struct minigame *minigame)
{
    if (minigame_rounds_running(minigame->rounds, NULL, NULL)) {
        minigame_rounds_stop(minigame->rounds);
        broadcast(minigame, json_pack("{s:s}", "info", "scheduler is stopped"));
    } else {
        broadcast_scheduler(minigame);
    }
}

static unsigned get_seconds(const json_t *request, const char *key, unsigned preset)
{
    const json_t *value = json_object_get(request, key);
    return value != NULL ? (unsigned)json_integer_value(value) : preset;
}

/* Does what a well-formed request wants; `error` says why not. */
static void carry_out(struct minigame *minigame, const json_t *request, char *error,
                      size_t error_size)
{
    const char *action = json_string_value(json_object_get(request, "action"));
    if (strcmp(action, "scheduler_start") == 0) {
        minigame_rounds_start(minigame->rounds, get_seconds(request, "period", PERIOD_PRESET),
                              get_seconds(request, "offset", OFFSET_PRESET));
        broadcast_scheduler(minigame);
    } else if (strcmp(action, "scheduler_stop") == 0) {
        stop_scheduler(minigame);
    } else if (strcmp(action, "scheduler_info") == 0) {
        broadcast_scheduler(minigame);
    } else {
        end_game(minigame, request, error, error_size);
    }
}

/* ----------------------------------------------------------------------------------- the bus */

static void on_answer(struct minigame *minigame, const json_t *letter)
{
    struct game_server *server =
        find(minigame, (uint64_t)json_integer_value(json_object_get(letter, "id")));
    const char *error = json_string_value(json_object_get(letter, "error"));
    if (server == NULL || server->open == 0) {
        return;
    }
    if (--server->open == 0) {
        wheel_cancel(&server->timer);
    }
    if (error != NULL && error[0] != '\0') {
        send_error(server, error);
    }
}

static void on_request(struct minigame *minigame, const json_t *letter)
{
    const json_t *request = json_object_get(letter, "request");
    char error[512] = "";
    if (!minigame_rounds_here(minigame->rounds)) {
        snprintf(error, sizeof error, "%s", UNREACHABLE); /* it has just moved */
    } else if (json_is_string(json_object_get(request, "action"))) {
        carry_out(minigame, request, error, sizeof error);
    }
    json_t *words = json_string(error);
    post(minigame, json_pack("{s:O, s:O, s:o}", "to", json_object_get(letter, "from"), "id",
                             json_object_get(letter, "id"), "error",
                             words != NULL ? words : json_string(UNREACHABLE)));
}

static void on_letter(struct minigame *minigame, const json_t *letter)
{
    const json_t *all = json_object_get(letter, "all");
    const char *to = json_string_value(json_object_get(letter, "to"));
    if (all != NULL) {
        send_here(minigame, all);
    } else if (to != NULL && strcmp(to, minigame->options.node) == 0) {
        if (json_object_get(letter, "request") != NULL) {
            on_request(minigame, letter);
        } else {
            on_answer(minigame, letter);
        }
    }
}

/* Something may have been missed before it is READY: game servers look at the events then. */
static void on_bus(void *arg, enum bus_event event, struct span payload)
{
    struct minigame *minigame = arg;
    if (event == BUS_READY) {
        json_t *update = json_pack("{s:s}", "info", "update");
        send_here(minigame, update);
        json_decref(update);
    } else if (event == BUS_MESSAGE) {
        json_t *letter = json_loadb(payload.ptr, payload.len, 0, NULL);
        on_letter(minigame, letter);
        json_decref(letter);
    }
}

/* --------------------------------------------------------------------------------- requests */

static void on_timer(struct wheel_timer *timer)
{
    struct game_server *server = CONTAINER_OF(timer, struct game_server, timer);
    server->open = 0;
    send_error(server, UNREACHABLE);
}

/* Brings a well-formed request (borrowed) to the runner. */
static void bring(struct game_server *server, json_t *request)
{
    struct minigame *minigame = server->minigame;
    const char *runner = minigame_rounds_runner(minigame->rounds);
    char error[512] = "";
    if (runner == NULL) {
        send_error(server, UNREACHABLE);
    } else if (minigame_rounds_here(minigame->rounds)) {
        carry_out(minigame, request, error, sizeof error);
        if (error[0] != '\0') {
            send_error(server, error);
        } else {
            post(minigame, json_pack("{s:I}", "own", (json_int_t)server->id));
        }
    } else if (publish(minigame, json_pack("{s:s, s:s, s:I, s:O}", "to", runner, "from",
                                           minigame->options.node, "id", (json_int_t)server->id,
                                           "request", request)) != 0) {
        send_error(server, UNREACHABLE);
    } else {
        server->open++;
        wheel_set(minigame->options.wheel, &server->timer, ANSWER_MS);
    }
}

static void add_player(void *arg, struct span user)
{
    json_t *list = arg;
    if (json_array_size(list) < ONLINE_MOST) {
        json_array_append_new(list, json_stringn(user.ptr, user.len));
    }
}

static void send_online(struct game_server *server)
{
    const struct minigame_options *options = &server->minigame->options;
    json_t *players = json_array();
    options->each_online(options->online, add_player, players);
    send_json(server, json_pack("{s:o}", "online_players", players));
}

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    struct game_server *server = arg;
    if (!allowance_take(&server->allowance, RATE, BURST, clock_monotonic_ms())) {
        send_error(server, "too many requests, please slow down");
        return;
    }
    json_t *request = kind == WS_TEXT ? minigame_request_read(payload) : NULL;
    const char *fault = minigame_request_fault(request);
    if (fault != NULL) {
        send_error(server, fault);
    } else if (strcmp(json_string_value(json_object_get(request, "action")), "online_players") ==
               0) {
        send_online(server);
    } else {
        bring(server, request);
    }
    json_decref(request);
}

/* ------------------------------------------------------------------------------------- HTTP */

/* True when the request shows `token`, or none is needed; answers it otherwise. */
static bool admits(struct http_request *request, const char *token)
{
    if (token[0] == '\0' || bearer_is(request, span_str(token))) {
        return true;
    }
    http_reply_field(request, "WWW-Authenticate", SPAN("Bearer"));
    http_reply_error(request, 401, "a bearer token is needed");
    return false;
}

static void on_closed(void *arg)
{
    struct game_server *server = arg;
    wheel_cancel(&server->timer);
    room_remove(&server->minigame->room, &server->member);
    map_remove(&server->minigame->sockets, &server->node);
    metric_sub(server->minigame->options.metrics, METRIC_MINIGAME_SOCKETS, 1);
    free(server);
}

static void on_connect(void *arg, struct http_request *request)
{
    static const struct ws_handler handler = {.message = on_message, .closed = on_closed};
    struct minigame *minigame = arg;
    if (!admits(request, minigame->options.token)) {
        return;
    }
    struct game_server *server = mem_zalloc(sizeof *server);
    server->minigame = minigame;
    server->ws = ws_accept(request, &handler, server);
    if (server->ws == NULL) {
        free(server);
        return;
    }
    server->id = conn_id(ws_conn(server->ws));
    wheel_timer_init(&server->timer, on_timer);
    allowance_init(&server->allowance, BURST, clock_monotonic_ms());
    room_add(&minigame->room, &server->member, server->ws);
    map_insert(&minigame->sockets, &server->node, span_of(&server->id, sizeof server->id));
    metric_add(minigame->options.metrics, METRIC_MINIGAME_SOCKETS, 1);
}

static void on_webhook(void *arg, struct http_request *request)
{
    struct minigame *minigame = arg;
    if (admits(request, minigame->options.webhook_token)) {
        broadcast_now(minigame, json_pack("{s:s}", "info", "update"));
        http_reply(request, 200, "application/json", SPAN("{\"info\": \"update\"}"));
    }
}

static void on_events(void *arg, struct http_request *request)
{
    const struct minigame *minigame = arg;
    json_t *round = minigame_rounds_current(minigame->rounds);
    char *text = json_dumps(round, 0);
    http_reply_field(request, "Cache-Control", SPAN("no-store"));
    http_reply(request, 200, "application/json", span_str(text));
    free(text);
    json_decref(round);
}

/* ------------------------------------------------------------------------------------- life */

static void on_new_round(void *arg)
{
    broadcast_update(arg);
}

struct minigame *minigame_new(struct http_server *server, const struct minigame_options *options)
{
    struct minigame *minigame = mem_zalloc(sizeof *minigame);
    minigame->options = *options;
    room_init(&minigame->room, options->metrics);
    map_init(&minigame->sockets);
    minigame->unsaid = json_array();
    minigame->sub = bus_subscribe(options->store, TOPIC, BUS_ECHO, on_bus, minigame);
    minigame->rounds = minigame_rounds_new(&(struct minigame_rounds_options){
        .store = options->store,
        .wheel = options->wheel,
        .node = options->node,
        .each_online = options->each_online,
        .online = options->online,
        .new_round = on_new_round,
        .settled = on_settled,
        .arg = minigame,
    });
    http_route_websocket(server, "/minigame", on_connect, minigame);
    http_route(server, "POST", "/api/webhook/minigame", on_webhook, minigame);
    http_route(server, "GET", "/api/gaming/events", on_events, minigame);
    return minigame;
}

void minigame_free(struct minigame **minigame)
{
    if (*minigame == NULL) {
        return;
    }
    minigame_rounds_free(&(*minigame)->rounds);
    bus_unsubscribe(&(*minigame)->sub);
    map_deinit(&(*minigame)->sockets);
    json_decref((*minigame)->unsaid);
    free(*minigame);
    *minigame = NULL;
}
