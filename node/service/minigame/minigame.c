/* SPDX-License-Identifier: MIT */
/* The door: the handshakes and messages of game servers, and the HTTP routes.
 *
 *     socket --limit--> request.c: well-formed? --> scheduler.c: carried out by the runner
 *     sockets.c <--what it says, answers, refuses-------'
 */
#include "node/service/minigame/minigame.h"

#include "node/proto/http/auth.h"
#include "node/proto/json/scan.h"
#include "node/service/minigame/request.h"
#include "node/service/minigame/scheduler.h"
#include "node/service/minigame/sockets.h"
#include "store/base/clock.h"
#include "store/base/utf8.h"

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
    /* The users that are online, as it was said last. A thousand questions a second make no thousand
     * lists of thousands. */
    struct buf players;
    struct shared_message answer; /* of `players` */
    bool answers;                 /* it can be sent */
    uint64_t stale_us;            /* of a clock that never jumps */
    struct minigame_walk listing; /* makes it new, */
    struct buf list;              /* here, */
    size_t listed;                /* of so many players, */
    struct list wanting;          /* for these sockets */
};

/* ------------------------------------------------------------------------------------ sockets */

/* A walk's take. */
static bool add_player(void *arg, struct span user)
{
    struct minigame *minigame = arg;
    if (utf8_valid(user)) {
        buf_append(&minigame->list, minigame->listed++ > 0 ? SPAN(", ") : SPAN(""));
        json_quote(user, &minigame->list);
    }
    return minigame->listed < ONLINE_MOST;
}

static void forget_players(struct minigame *minigame)
{
    if (minigame->answers) {
        shared_message_deinit(&minigame->answer);
        minigame->answers = false;
    }
    buf_free(&minigame->players);
}

static void take_list(struct minigame *minigame)
{
    forget_players(minigame);
    buf_append(&minigame->list, SPAN("]}"));
    minigame->players = minigame->list;
    minigame->list = (struct buf){0};
    shared_message_init(&minigame->answer, WS_TEXT, buf_span(&minigame->players));
    minigame->answers = true;
    minigame->stale_us = clock_monotonic_us() + minigame->listing.us * PLAYERS_PAUSE;
}

static void give_players(struct minigame *minigame, struct minigame_socket *socket)
{
    group_send_one(&minigame->sockets.group, &socket->receiver, &minigame->answer);
    metrics_add(minigame->options.metrics, METRIC_WS_MESSAGES_OUT, 1);
}

/* A walk's done. */
static void on_listed(void *arg, bool known)
{
    struct minigame *minigame = arg;
    if (known) {
        take_list(minigame);
    }
    while (!list_empty(&minigame->wanting)) {
        struct minigame_socket *socket =
            LIST_ITEM(minigame->wanting.next, struct minigame_socket, wanting);
        list_del(&socket->wanting);
        for (; socket->wants > 0; socket->wants--) {
            if (known) {
                give_players(minigame, socket);
            } else {
                minigame_socket_error(socket, MINIGAME_NO_PLAYERS);
            }
        }
    }
}

static void say_players(struct minigame *minigame, struct minigame_socket *socket)
{
    if (minigame->answers && clock_monotonic_us() < minigame->stale_us) {
        give_players(minigame, socket);
        return;
    }
    socket->wants++;
    list_del(&socket->wanting);
    list_push_back(&minigame->wanting, &socket->wanting);
    if (!minigame_walk_is_on(&minigame->listing)) {
        minigame->listed = minigame->list.len = 0;
        buf_append(&minigame->list, SPAN("{\"online_players\": ["));
        minigame_walk_begin(&minigame->listing);
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

static void on_closing(void *arg)
{
    struct minigame_socket *socket = arg;
    group_give(&socket->sockets->group, &socket->receiver);
}

static void on_closed(void *arg)
{
    minigame_socket_free(arg);
}

static void on_connect(void *arg, struct http_request *request)
{
    static const struct ws_handler handler = {
        .message = on_message, .closing = on_closing, .closed = on_closed};
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
        .net = options->net,
        .online = options->online,
    });
    list_init(&minigame->wanting);
    minigame->listing = (struct minigame_walk){.net = options->net,
                                               .online = &minigame->options.online,
                                               .take = add_player,
                                               .done = on_listed,
                                               .arg = minigame};
    minigame_walk_init(&minigame->listing);
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
    minigame_walk_end(&(*minigame)->listing);
    buf_free(&(*minigame)->list);
    forget_players(*minigame);
    free(*minigame);
    *minigame = NULL;
}
