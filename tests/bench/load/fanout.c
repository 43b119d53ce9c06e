/* SPDX-License-Identifier: MIT */
/* One sender, --connections receivers. At most --window pushes are on their way: a push is done
 * when every receiver has it, and the sender sends the next at once.
 *
 *      done          sent
 *   ....|a b c d e f g|      have[n % WINDOW_MAX]: receivers that have push n
 *
 * The first client is the sender. */
#include "store/base/mem.h"
#include "tests/bench/load/client.h"
#include "tests/bench/load/cpu.h"
#include "tests/bench/load/fail.h"
#include "tests/bench/load/inflater.h"
#include "tests/bench/load/message.h"
#include "tests/bench/load/mode.h"
#include "tests/bench/load/sync.h"

#include <inttypes.h>

enum { WINDOW_MAX = 64 };

struct fanout {
    struct loop *loop;
    const struct options *options;
    struct client *clients;
    struct client_kind sender, receiver;
    struct message message;
    struct inflater *inflater;
    uint32_t joined, sent, done;
    uint32_t have[WINDOW_MAX];
    bool sending;
    uint64_t deliveries, deflated, bytes;
};

struct mark {
    uint64_t ns, cpu, deliveries, deflated, bytes;
    uint32_t done;
};

static void send_window(struct fanout *fanout)
{
    while (fanout->sending && fanout->sent - fanout->done < fanout->options->window) {
        client_send(&fanout->clients[0], message_number(&fanout->message, fanout->sent));
        fanout->sent++;
    }
}

static void note_delivery(struct fanout *fanout, struct client *client)
{
    uint32_t receivers = fanout->options->connections;
    fanout->have[client->received % WINDOW_MAX]++;
    client->received++;
    fanout->deliveries++;
    while (fanout->have[fanout->done % WINDOW_MAX] == receivers) {
        fanout->have[fanout->done % WINDOW_MAX] = 0;
        fanout->done++;
    }
    send_window(fanout);
}

static void note_state(struct fanout *fanout, struct client *client, struct span text)
{
    struct session_state state;
    if (!sync_state(text, &state)) {
        fail("client %u wants push %u, got: %.*s", client->index, client->received, SPAN_ARG(text));
    }
    fanout->joined += client->joined ? 0 : 1;
    client->joined = true;
}

static void on_frame(struct client *client, const struct frame *frame)
{
    struct fanout *fanout = client->kind->arg;
    struct span text = inflater_text(fanout->inflater, frame, client->received);
    bool due = client->received < fanout->sent && client->index > 0;
    if (due && message_is(&fanout->message, text, client->received)) {
        fanout->deflated += frame->deflated ? 1 : 0;
        fanout->bytes += frame->payload.len;
        note_delivery(fanout, client);
        return;
    }
    note_state(fanout, client, text);
}

static void open_clients(struct fanout *fanout)
{
    const struct options *options = fanout->options;
    uint32_t count = options->connections + 1;
    fanout->sender = (struct client_kind){.path = options->path, .frame = on_frame, .arg = fanout};
    fanout->receiver = fanout->sender;
    fanout->receiver.deflate = options->deflate;
    fanout->clients = mem_zalloc(count * sizeof(*fanout->clients));
    for (uint32_t i = 0; i < count; i++) {
        client_init(&fanout->clients[i], i == 0 ? &fanout->sender : &fanout->receiver,
                    options->nodes[i % options->node_count], client_source(i), i);
    }
    phase_set("connecting");
    client_open_all(fanout->loop, fanout->clients, count);
}

/* Each client is bound once it has seen one SessionState. */
static void join_clients(struct fanout *fanout)
{
    uint32_t count = fanout->options->connections + 1;
    phase_set("joining the session");
    for (uint32_t i = 0; i < count; i++) {
        sync_join(&fanout->clients[i], fanout->options->session, i == 0);
        while (fanout->joined < i) { /* one behind: a join at a time, as in life */
            loop_turn(fanout->loop);
        }
    }
    while (fanout->joined < count) {
        loop_turn(fanout->loop);
    }
}

static void push_for(struct fanout *fanout, double seconds)
{
    fanout->sending = true;
    send_window(fanout);
    loop_run_for(fanout->loop, seconds);
    fanout->sending = false;
    while (fanout->done < fanout->sent) {
        loop_turn(fanout->loop);
    }
}

static struct mark take_mark(const struct fanout *fanout)
{
    return (struct mark){
        .ns = now_ns(),
        .cpu = fanout->options->pid != 0 ? cpu_ns(fanout->options->pid) : 0,
        .deliveries = fanout->deliveries,
        .deflated = fanout->deflated,
        .bytes = fanout->bytes,
        .done = fanout->done,
    };
}

static void print_result(struct mark from, struct mark to)
{
    printf("{\"deliveries\":%" PRIu64 ",\"pushes\":%u,\"seconds\":%.6f,\"cpu_ns\":%" PRIu64
           ",\"deflated\":%" PRIu64 ",\"payload_bytes\":%" PRIu64 "}\n",
           to.deliveries - from.deliveries, to.done - from.done, (double)(to.ns - from.ns) / 1e9,
           to.cpu - from.cpu, to.deflated - from.deflated, to.bytes - from.bytes);
}

void mode_fanout(struct loop *loop, const struct options *options)
{
    mode_needs_node(options);
    struct fanout fanout = {.loop = loop, .options = options, .inflater = inflater_new()};
    if (options->window == 0 || options->window > WINDOW_MAX) {
        fail("--window must be 1 to %d", WINDOW_MAX);
    }
    message_init(&fanout.message, options->session, options->size);
    open_clients(&fanout);
    if (!options->floor) {
        join_clients(&fanout);
    }
    phase_set("warming up");
    push_for(&fanout, options->warm_up);
    phase_set("measuring");
    struct mark from = take_mark(&fanout);
    push_for(&fanout, options->seconds);
    struct mark to = take_mark(&fanout);
    print_result(from, to);
    client_close_all(fanout.clients, options->connections + 1);
}
