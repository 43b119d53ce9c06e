/* SPDX-License-Identifier: MIT */
/* --connections sockets of /chat, each of which logs in with --token again and again, --window
 * requests of each on their way. */
#include "store/base/mem.h"
#include "tests/bench/load/client.h"
#include "tests/bench/load/cpu.h"
#include "tests/bench/load/fail.h"
#include "tests/bench/load/mode.h"

#include <inttypes.h>

struct logins {
    struct loop *loop;
    struct client_kind kind;
    struct client *clients;
    struct buf request;
    uint64_t sent, done;
    bool sending;
};

static void send_one(struct logins *logins, struct client *client)
{
    client_send(client, buf_span(&logins->request));
    logins->sent++;
}

static void on_frame(struct client *client, const struct frame *frame)
{
    struct logins *logins = client->kind->arg;
    if (!span_eq(frame->payload, SPAN("{\"info\": \"connected\"}"))) {
        fail("client %u was answered: %.*s", client->index, SPAN_ARG(frame->payload));
    }
    logins->done++;
    if (logins->sending) {
        send_one(logins, client);
    }
}

static void log_in_for(struct logins *logins, const struct options *options, double seconds)
{
    logins->sending = true;
    for (uint32_t i = 0; i < options->connections * options->window; i++) {
        send_one(logins, &logins->clients[i % options->connections]);
    }
    loop_run_for(logins->loop, seconds);
    logins->sending = false;
    while (logins->done < logins->sent) {
        loop_turn(logins->loop);
    }
}

void mode_logins(struct loop *loop, const struct options *options)
{
    mode_needs_node(options);
    struct logins logins = {.loop = loop};
    logins.kind = (struct client_kind){.path = options->path, .frame = on_frame, .arg = &logins};
    buf_printf(&logins.request, "{\"action\":\"login\",\"token\":\"%s\"}", options->token);
    phase_set("connecting");
    logins.clients = client_connect(loop, &logins.kind, options->nodes, options->node_count,
                                    options->connections);
    phase_set("warming up");
    log_in_for(&logins, options, options->warm_up);
    phase_set("measuring");
    uint64_t cpu = cpu_ns(options->pid), done = logins.done;
    log_in_for(&logins, options, options->seconds);
    printf("{\"logins\":%" PRIu64 ",\"cpu_ns\":%" PRIu64 "}\n", logins.done - done,
           cpu_ns(options->pid) - cpu);
    client_close_all(logins.clients, options->connections);
}
