/* SPDX-License-Identifier: MIT */
/* The sockets of game servers and the HTTP routes.
 *
 *     socket --limit--> request.c: well-formed? --> scheduler.c: carried out
 *     socket <--say, answered, refused: each a callback-----------------'     by the runner
 *
 * An asker is a socket's id: by the time of the answer the socket may be gone. */
#include "node/service/minigame/minigame.h"

#include "node/fanout/group.h"
#include "node/net/limit.h"
#include "node/proto/http/auth.h"
#include "node/proto/ws/ws.h"
#include "node/service/minigame/request.h"
#include "node/service/minigame/scheduler.h"
#include "store/base/clock.h"
#include "store/base/map.h"

#include <stdlib.h>

enum {
    MINIGAME_ANSWER_MS = 5000, /* for the runner to answer */
    ONLINE_MOST = 5000,        /* players in an answer */
    RATE = 20,                 /* requests a second of one socket, in the long run */
    BURST = 100,               /* and at once */
};

struct minigame {
    struct minigame_options options;
    struct minigame_scheduler *scheduler;
    struct group room;
    struct map sockets; /* by id */
};

/* One game server. */
struct game_server {
    struct minigame *minigame;
    struct ws *ws;
    struct receiver member;
    struct map_node node;
    uint64_t id;   /* key of `node` */
    unsigned open; /* requests that the runner has not answered */
    struct wheel_timer timer;
    struct limit_bucket limit;
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

static void on_say(void *arg, const json_t *json)
{
    struct minigame *minigame = arg;
    char *text = json_dumps(json, 0);
    group_send(&minigame->room, span_str(text), NULL);
    free(text);
}

static struct game_server *find(const struct minigame *minigame, uint64_t id)
{
    struct map_node *node = map_find(&minigame->sockets, span_of(&id, sizeof(id)));
    return node != NULL ? MAP_ENTRY(node, struct game_server, node) : NULL;
}

/* --------------------------------------------------------------------------------- requests */

static void on_timer(struct wheel_timer *timer)
{
    struct game_server *server = CONTAINER_OF(timer, struct game_server, timer);
    server->open = 0;
    send_error(server, MINIGAME_UNREACHABLE);
}

static void on_answered(void *arg, uint64_t asker, const char *error)
{
    struct game_server *server = find(arg, asker);
    if (server == NULL || server->open == 0) {
        return;
    }
    if (--server->open == 0) {
        wheel_cancel(&server->timer);
    }
    if (error[0] != '\0') {
        send_error(server, error);
    }
}

static void on_refused(void *arg, uint64_t asker, const char *error)
{
    struct game_server *server = find(arg, asker);
    if (server != NULL) {
        send_error(server, error);
    }
}

static void ask(struct game_server *server, json_t *request)
{
    struct minigame *minigame = server->minigame;
    if (minigame_scheduler_ask(minigame->scheduler, server->id, request)) {
        server->open++;
        wheel_set(minigame->options.wheel, &server->timer, MINIGAME_ANSWER_MS);
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
    if (options->each_online(options->online, add_player, players)) {
        send_json(server, json_pack("{s:o}", "online_players", players));
    } else {
        json_decref(players);
        send_error(server, MINIGAME_NO_PLAYERS);
    }
}

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    struct game_server *server = arg;
    if (!limit_take(&server->limit, RATE, BURST, 1, clock_monotonic_us())) {
        send_error(server, "too many requests, please slow down");
        return;
    }
    json_t *request = kind == WS_TEXT ? minigame_request_read(payload) : NULL;
    const char *fault = minigame_request_fault(request);
    if (fault != NULL) {
        send_error(server, fault);
    } else if (minigame_request_action(request) == MINIGAME_ONLINE) {
        send_online(server);
    } else {
        ask(server, request);
    }
    json_decref(request);
}

/* ------------------------------------------------------------------------------------- HTTP */

static void on_closed(void *arg)
{
    struct game_server *server = arg;
    wheel_cancel(&server->timer);
    group_remove(&server->minigame->room, &server->member);
    map_remove(&server->minigame->sockets, &server->node);
    metrics_sub(server->minigame->options.metrics, METRIC_MINIGAME_SOCKETS, 1);
    free(server);
}

static void on_connect(void *arg, struct http_request *request)
{
    static const struct ws_handler handler = {.message = on_message, .closed = on_closed};
    struct minigame *minigame = arg;
    if (!http_authorize(request, HTTP_AUTH_IF_SET, minigame->options.token, NULL)) {
        return;
    }
    struct game_server *server = mem_zalloc(sizeof(*server));
    server->minigame = minigame;
    server->ws = ws_accept(request, &handler, server);
    if (server->ws == NULL) {
        free(server);
        return;
    }
    server->id = conn_id(ws_conn(server->ws));
    wheel_timer_init(&server->timer, on_timer);
    group_add(&minigame->room, &server->member, server->ws);
    map_insert(&minigame->sockets, &server->node, span_of(&server->id, sizeof(server->id)));
    metrics_add(minigame->options.metrics, METRIC_MINIGAME_SOCKETS, 1);
}

static void on_webhook(void *arg, struct http_request *request)
{
    struct minigame *minigame = arg;
    if (http_authorize(request, HTTP_AUTH_IF_SET, minigame->options.webhook_token, NULL)) {
        minigame_scheduler_update(minigame->scheduler);
        http_reply(request, 200, "text/plain; charset=utf-8", SPAN(""));
    }
}

static void on_events(void *arg, struct http_request *request)
{
    const struct minigame *minigame = arg;
    struct buf form = {0};
    http_query(request, "form", &form);
    json_t *round =
        minigame_scheduler_current(minigame->scheduler, span_eq(buf_span(&form), SPAN("flat")));
    buf_free(&form);
    char *text = json_dumps(round, 0);
    http_reply_field(request, "Cache-Control", SPAN("no-store"));
    http_reply(request, 200, "application/json", span_str(text));
    free(text);
    json_decref(round);
}

/* ------------------------------------------------------------------------------------- life */

struct minigame *minigame_new(struct http_server *server, const struct minigame_options *options)
{
    struct minigame *minigame = mem_zalloc(sizeof(*minigame));
    minigame->options = *options;
    group_init(&minigame->room, options->metrics);
    map_init(&minigame->sockets);
    minigame->scheduler = minigame_scheduler_new(&(struct minigame_scheduler_options){
        .store = options->store,
        .wheel = options->wheel,
        .node = options->node,
        .each_online = options->each_online,
        .online = options->online,
        .say = on_say,
        .answered = on_answered,
        .refused = on_refused,
        .arg = minigame,
    });
    http_route_websocket(server, "/minigame", on_connect, minigame);
    http_route(server, "GET", "/api/webhook/minigame", on_webhook, minigame);
    http_route(server, "POST", "/api/webhook/minigame", on_webhook, minigame);
    http_route(server, "GET", "/api/gaming/events", on_events, minigame);
    return minigame;
}

void minigame_free(struct minigame **minigame)
{
    if (*minigame == NULL) {
        return;
    }
    minigame_scheduler_free(&(*minigame)->scheduler);
    map_deinit(&(*minigame)->sockets);
    free(*minigame);
    *minigame = NULL;
}
