/* SPDX-License-Identifier: MIT */
#include "node/service/minigame/sockets.h"

#include <stdlib.h>

enum { MINIGAME_ANSWER_MS = 5000 /* for the runner to answer */ };

static void count_gauges(void *arg, struct metrics *metrics)
{
    const struct minigame_sockets *sockets = arg;
    metrics_set(metrics, METRIC_MINIGAME_SOCKETS, sockets->by_id.count);
}

void minigame_sockets_init(struct minigame_sockets *sockets, struct metrics *metrics,
                           struct wheel *wheel)
{
    *sockets = (struct minigame_sockets){.metrics = metrics, .wheel = wheel};
    group_init(&sockets->group, metrics);
    map_init(&sockets->by_id);
    metrics_source_add(metrics, &sockets->gauges, count_gauges, sockets);
}

void minigame_sockets_deinit(struct minigame_sockets *sockets)
{
    metrics_source_remove(sockets->metrics, &sockets->gauges);
    map_deinit(&sockets->by_id);
}

/* ------------------------------------------------------------------------------------ one socket */

void minigame_socket_send(struct minigame_socket *socket, json_t *json)
{
    char *text = json_dumps(json, 0);
    ws_send(socket->ws, WS_TEXT, span_str(text));
    free(text);
    json_decref(json);
}

void minigame_socket_error(struct minigame_socket *socket, const char *error)
{
    json_t *words = json_string(error);
    minigame_socket_send(
        socket, json_pack("{s:o}", "error", words != NULL ? words : json_string("bad text")));
}

static void on_timer(struct wheel_timer *timer)
{
    struct minigame_socket *socket = CONTAINER_OF(timer, struct minigame_socket, timer);
    socket->unanswered = 0;
    minigame_socket_error(socket, MINIGAME_UNREACHABLE);
}

struct minigame_socket *minigame_socket_accept(struct minigame_sockets *sockets, void *owner,
                                               struct http_request *request,
                                               const struct ws_handler *handler)
{
    struct minigame_socket *socket = mem_zalloc(sizeof(*socket));
    socket->sockets = sockets;
    socket->owner = owner;
    socket->ws = ws_accept(request, handler, socket);
    if (socket->ws == NULL) {
        free(socket);
        return NULL;
    }
    socket->id = conn_id(ws_conn(socket->ws));
    wheel_timer_init(&socket->timer, on_timer);
    list_init(&socket->wanting);
    group_add(&sockets->group, &socket->receiver, socket->ws);
    map_insert(&sockets->by_id, &socket->node, span_of(&socket->id, sizeof(socket->id)));
    return socket;
}

void minigame_socket_free(struct minigame_socket *socket)
{
    struct minigame_sockets *sockets = socket->sockets;
    wheel_cancel(&socket->timer);
    list_del(&socket->wanting);
    group_remove(&sockets->group, &socket->receiver);
    map_remove(&sockets->by_id, &socket->node);
    free(socket);
}

/* ------------------------------------------------------------------------------------ askers */

static struct minigame_socket *find(const struct minigame_sockets *sockets, uint64_t id)
{
    struct map_node *node = map_find(&sockets->by_id, span_of(&id, sizeof(id)));
    return node != NULL ? MAP_ENTRY(node, struct minigame_socket, node) : NULL;
}

void minigame_sockets_say(struct minigame_sockets *sockets, const json_t *json)
{
    char *text = json_dumps(json, 0);
    group_send(&sockets->group, span_str(text), GROUP_ALL);
    free(text);
}

void minigame_sockets_refuse(struct minigame_sockets *sockets, uint64_t asker, const char *error)
{
    struct minigame_socket *socket = find(sockets, asker);
    if (socket != NULL) {
        minigame_socket_error(socket, error);
    }
}

void minigame_sockets_await(struct minigame_sockets *sockets, uint64_t asker)
{
    struct minigame_socket *socket = find(sockets, asker);
    if (socket != NULL) {
        socket->unanswered++;
        wheel_set(sockets->wheel, &socket->timer, MINIGAME_ANSWER_MS);
    }
}

void minigame_sockets_answer(struct minigame_sockets *sockets, uint64_t asker, const char *error)
{
    struct minigame_socket *socket = find(sockets, asker);
    if (socket == NULL || socket->unanswered == 0) {
        return;
    }
    if (--socket->unanswered == 0) {
        wheel_cancel(&socket->timer);
    }
    if (error[0] != '\0') {
        minigame_socket_error(socket, error);
    }
}
