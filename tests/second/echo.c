/* SPDX-License-Identifier: MIT */
/* second_echo HOST:PORT: the node's WebSocket server with nothing behind it: each message goes back. For
 * suites that want an echo. Says "ready"; ends when it is killed. */
#include "node/core/wheel.h"
#include "node/net/listener.h"
#include "node/proto/ws/ws.h"
#include "store/base/mem.h"

#include <stdlib.h>

enum { ECHO_LIMIT = 64 * 1024 * 1024 };

struct echo {
    struct ws *ws;
};

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    struct echo *echo = arg;
    ws_send(echo->ws, kind, payload);
}

static void on_closed(void *arg)
{
    free(arg);
}

static void serve(void *arg, struct http_request *request)
{
    static const struct ws_handler handler = {.message = on_message, .closed = on_closed};
    struct echo *echo = mem_zalloc(sizeof(*echo));
    (void)arg;
    echo->ws = ws_accept(request, &handler, echo);
    if (echo->ws == NULL) {
        free(echo);
    }
}

int main(int argc, char **argv)
{
    static const struct net_limits limits = {.queue = 2 * ECHO_LIMIT, .connections = 64};
    static const struct http_options options = {.header_limit = 16384,
                                                .body_limit = 64,
                                                .request_ms = 10000,
                                                .keep_alive_ms = 10000,
                                                .ws_message_limit = ECHO_LIMIT};
    static struct metrics metrics;
    char error[256];
    if (argc != 2) {
        fprintf(stderr, "usage: second_echo HOST:PORT\n");
        return 2;
    }
    struct loop *loop = loop_new();
    struct net *net = net_new(loop, wheel_new(loop), &metrics, &limits);
    struct http_server *server = http_server_new(net, &options);
    http_route_websocket(server, "/", serve, NULL);
    if (listener_open(net, argv[1], http_server_accept, server, error, sizeof(error)) == NULL) {
        fprintf(stderr, "second_echo: %s\n", error);
        return 1;
    }
    puts("ready");
    fflush(stdout);
    loop_run(loop);
    return 0;
}
