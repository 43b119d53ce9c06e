/* SPDX-License-Identifier: MIT */
/* The door: the handshakes and messages of game servers, and the HTTP routes.
 *
 *     socket --limit--> request.c: well-formed? --> scheduler.c: carried out by the runner
 *     sockets.c <--what it says, answers, refuses-------'
 */
#include "node/service/minigame/minigame.h"

#include "node/proto/http/auth.h"
#include "node/service/minigame/request.h"
#include "node/service/minigame/scheduler.h"
#include "node/service/minigame/sockets.h"
#include "store/base/clock.h"

#include <stdlib.h>

enum {
    ONLINE_MOST = 5000, /* players in an answer */
    RATE = 20,          /* requests a second of one socket, in the long run */
    BURST = 100,        /* and at once */
};

struct minigame {
    struct minigame_options options;
    struct minigame_sockets sockets;
    struct minigame_scheduler *scheduler;
};

/* ------------------------------------------------------------------------------------ sockets */

static void add_player(void *arg, struct span user)
{
    json_t *list = arg;
    if (json_array_size(list) < ONLINE_MOST) {
        json_array_append_new(list, json_stringn(user.ptr, user.len));
    }
}

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    struct minigame_socket *socket = arg;
    const struct minigame *minigame = socket->owner;
    if (!limit_take(&socket->limit, RATE, BURST, 1, clock_monotonic_us())) {
        minigame_socket_error(socket, "too many requests, please slow down");
        return;
    }
    json_t *request = kind == WS_TEXT ? minigame_request_read(payload) : NULL;
    const char *fault = minigame_request_fault(request);
    if (fault != NULL) {
        minigame_socket_error(socket, fault);
    } else if (minigame_request_action(request) == MINIGAME_ONLINE) {
        json_t *players = json_array();
        if (minigame->options.each_online(minigame->options.online, add_player, players)) {
            minigame_socket_send(socket, json_pack("{s:o}", "online_players", players));
        } else {
            json_decref(players);
            minigame_socket_error(socket, MINIGAME_NO_PLAYERS);
        }
    } else {
        minigame_scheduler_ask(minigame->scheduler, socket->id, request);
    }
    json_decref(request);
}

static void on_closed(void *arg)
{
    minigame_socket_free(arg);
}

static void on_connect(void *arg, struct http_request *request)
{
    static const struct ws_handler handler = {.message = on_message, .closed = on_closed};
    struct minigame *minigame = arg;
    if (http_authorize(request, HTTP_AUTH_IF_SET, minigame->options.token, NULL)) {
        minigame_socket_accept(&minigame->sockets, minigame, request, &handler);
    }
}

/* ------------------------------------------------------------------------------------ HTTP */

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

/* ------------------------------------------------------------------------------------ life */

struct minigame *minigame_new(struct http_server *server, const struct minigame_options *options)
{
    struct minigame *minigame = mem_zalloc(sizeof(*minigame));
    minigame->options = *options;
    minigame_sockets_init(&minigame->sockets, options->metrics, options->wheel);
    minigame->scheduler = minigame_scheduler_new(&(struct minigame_scheduler_options){
        .store = options->store,
        .wheel = options->wheel,
        .node = options->node,
        .sockets = &minigame->sockets,
        .each_online = options->each_online,
        .online = options->online,
    });
    http_route_websocket(server, "/minigame", on_connect, minigame);
    http_route(server, "GET", "/api/webhook/minigame", on_webhook, minigame);
    http_route(server, "POST", "/api/webhook/minigame", on_webhook, minigame);
    http_guard(server, "/api/webhook/minigame", HTTP_ORIGIN_LISTED);
    http_route(server, "GET", "/api/gaming/events", on_events, minigame);
    return minigame;
}

void minigame_free(struct minigame **minigame)
{
    if (*minigame == NULL) {
        return;
    }
    minigame_scheduler_free(&(*minigame)->scheduler);
    minigame_sockets_deinit(&(*minigame)->sockets);
    free(*minigame);
    *minigame = NULL;
}
