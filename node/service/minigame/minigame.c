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
    PLAYERS_PAUSE = 10, /* times as long as it takes to list all, until they are listed again */
};

struct minigame {
    struct minigame_options options;
    struct minigame_sockets sockets;
    struct minigame_scheduler *scheduler;
    /* The users that are online, as it was said last; NULL: not yet. A thousand questions a second make no thousand
     * lists of thousands. */
    char *players;
    struct shared_message answer; /* of `players` */
    uint64_t stale_us;            /* of a clock that never jumps */
};

/* ------------------------------------------------------------------------------------ sockets */

static bool add_player(void *arg, struct span user)
{
    json_t *list = arg;
    json_array_append_new(list, json_stringn(user.ptr, user.len));
    return json_array_size(list) < ONLINE_MOST;
}

static void forget_players(struct minigame *minigame)
{
    if (minigame->players != NULL) {
        shared_message_deinit(&minigame->answer);
        free(minigame->players);
        minigame->players = NULL;
    }
}

/* Makes the answer new where it is time. false: it is not known who is online. */
static bool look_at_players(struct minigame *minigame)
{
    uint64_t now_us = clock_monotonic_us();
    if (minigame->players != NULL && now_us < minigame->stale_us) {
        return true;
    }
    json_t *players = json_array();
    forget_players(minigame);
    if (!minigame->options.each_online(minigame->options.online, add_player, players)) {
        json_decref(players);
        return false;
    }
    json_t *answer = json_pack("{s:o}", "online_players", players);
    minigame->players = json_dumps(answer, 0);
    json_decref(answer);
    shared_message_init(&minigame->answer, WS_TEXT, span_str(minigame->players));
    uint64_t done_us = clock_monotonic_us();
    minigame->stale_us = done_us + (done_us - now_us) * PLAYERS_PAUSE;
    return true;
}

static void say_players(struct minigame *minigame, struct minigame_socket *socket)
{
    if (look_at_players(minigame)) {
        group_send_one(&socket->receiver, &minigame->answer);
        metrics_add(minigame->options.metrics, METRIC_WS_MESSAGES_OUT, 1);
    } else {
        minigame_socket_error(socket, MINIGAME_NO_PLAYERS);
    }
}

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    struct minigame_socket *socket = arg;
    struct minigame *minigame = socket->owner;
    if (!limit_take(&socket->limit, RATE, BURST, 1, clock_monotonic_us())) {
        minigame_socket_error(socket, MINIGAME_TOO_MANY);
        return;
    }
    json_t *request = kind == WS_TEXT ? minigame_request_read(payload) : NULL;
    const char *fault = minigame_request_fault(request);
    if (fault != NULL) {
        minigame_socket_error(socket, fault);
    } else if (minigame_request_action(request) == MINIGAME_ONLINE) {
        say_players(minigame, socket);
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
    forget_players(*minigame);
    free(*minigame);
    *minigame = NULL;
}
