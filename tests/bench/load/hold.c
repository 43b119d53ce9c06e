/* SPDX-License-Identifier: MIT */
/* Opens --connections on all nodes in turn; on /connect each --members of them join a session, on /chat each
 * logs in as a user of its own. Says `ready` when all have been answered, holds them until its standard
 * input ends, and tells what came meanwhile. Those that a server closes are let go. */
#include "store/base/mem.h"
#include "tests/bench/load/fail.h"
#include "tests/bench/load/mode.h"
#include "tests/bench/load/sync.h"

#include <stdio.h>

static uint32_t answered, frames, gone;

static void on_frame(struct client *client, const struct frame *frame)
{
    (void)frame;
    answered += client->joined ? 0 : 1;
    client->joined = true;
    frames++;
}

static void on_gone(struct client *client)
{
    (void)client;
    gone++;
}

static bool enter(struct client *client, const struct options *options)
{
    char text[128];
    if (strcmp(options->path, "/connect") == 0 && options->members > 0) {
        uint32_t number = client->index / options->members;
        snprintf(text, sizeof(text), "%s-%u", options->session, number);
        sync_join(client, text, client->index % options->members == 0);
        return true;
    }
    if (strcmp(options->path, "/chat") == 0) {
        int len = snprintf(text, sizeof(text), "{\"action\":\"login\",\"token\":\"%s-%u\"}",
                           options->session, client->index);
        client_send(client, span_of(text, (size_t)len));
        return true;
    }
    return false;
}

/* Some at a time: a node that is spoken to by all at once would close those for whom its answers wait. */
static void enter_all(struct loop *loop, struct client *clients, const struct options *options)
{
    enum { AT_ONCE = 256 };
    for (uint32_t i = 0; i < options->connections; i++) {
        if (!enter(&clients[i], options)) {
            return;
        }
        while (i + 1 - answered > AT_ONCE) {
            loop_turn(loop);
        }
    }
    while (answered + gone < options->connections) {
        loop_turn(loop);
    }
}

void mode_hold(struct loop *loop, const struct options *options)
{
    mode_needs_node(options);
    struct client_kind kind = {.path = options->path, .frame = on_frame, .gone = on_gone};
    uint32_t count = options->connections;
    phase_set("connecting");
    struct client *clients =
        client_connect(loop, &kind, options->nodes, options->node_count, count);
    phase_set("joining");
    enter_all(loop, clients, options);
    phase_set("holding");
    frames = 0;
    loop_hold(loop);
    client_close_all(clients, count);
    free(clients);
    printf("{\"connections\":%u,\"frames\":%u,\"gone\":%u}\n", count, frames, gone);
}
