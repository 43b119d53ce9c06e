/* SPDX-License-Identifier: MIT */
/* Opens --connections, says `ready`, and holds them until its standard input ends. */
#include "store/base/mem.h"
#include "tests/bench/load/client.h"
#include "tests/bench/load/fail.h"
#include "tests/bench/load/mode.h"

#include <sys/epoll.h>
#include <unistd.h>

static void on_frame(struct client *client, const struct frame *frame)
{
    fail("idle client %u got: %.*s", client->index, SPAN_ARG(frame->payload));
}

static void on_input(struct handler *handler, uint32_t events)
{
    char byte;
    (void)events;
    if (read(handler->fd, &byte, 1) <= 0) {
        handler->fd = -1;
    }
}

static void wait_for_end_of_input(struct loop *loop)
{
    struct handler input = {.fd = STDIN_FILENO, .ready = on_input};
    loop_add(loop, &input, EPOLLIN);
    while (input.fd >= 0) {
        loop_turn(loop);
    }
}

void mode_idle(struct loop *loop, const struct options *options)
{
    mode_needs_node(options);
    struct client_kind kind = {
        .path = options->path, .deflate = options->deflate, .frame = on_frame};
    uint32_t count = options->connections;
    struct client *clients = mem_zalloc(count * sizeof(*clients));
    for (uint32_t i = 0; i < count; i++) {
        client_init(&clients[i], &kind, options->nodes[i % options->node_count], client_source(i),
                    i);
    }
    phase_set("connecting");
    client_open_all(loop, clients, count);
    puts("ready");
    fflush(stdout);
    phase_set("idling");
    wait_for_end_of_input(loop);
    client_close_all(clients, count);
    free(clients);
    printf("{\"connections\":%u}\n", count);
}
