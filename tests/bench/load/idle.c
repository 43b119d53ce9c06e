/* SPDX-License-Identifier: MIT */
/* Opens --connections, says `ready`, and holds them until its standard input ends. */
#include "store/base/mem.h"
#include "tests/bench/load/client.h"
#include "tests/bench/load/fail.h"
#include "tests/bench/load/mode.h"

#include <stdio.h>

static void on_frame(struct client *client, const struct frame *frame)
{
    fail("idle client %u got: %.*s", client->index, SPAN_ARG(frame->payload));
}

void mode_idle(struct loop *loop, const struct options *options)
{
    mode_needs_node(options);
    struct client_kind kind = {
        .path = options->path, .deflate = options->deflate, .frame = on_frame};
    uint32_t count = options->connections;
    phase_set("connecting");
    struct client *clients =
        client_connect(loop, &kind, options->nodes, options->node_count, count);
    phase_set("idling");
    loop_hold(loop);
    client_close_all(clients, count);
    free(clients);
    printf("{\"connections\":%u}\n", count);
}
