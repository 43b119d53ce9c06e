/* SPDX-License-Identifier: MIT */
/* One writer and --connections readers of /chat, spread over the nodes; all are logged in. At most
 * --window messages are on their way: one is done when every reader and the writer have it.
 *
 *      done          sent
 *   ....|a b c d e f g|      have[n % WINDOW_MAX]: clients that have message n
 *
 * The first client is the writer. A broadcast is what we sent, between what the server adds. */
#include "store/base/mem.h"
#include "tests/bench/load/client.h"
#include "tests/bench/load/cpu.h"
#include "tests/bench/load/fail.h"
#include "tests/bench/load/mode.h"

#include <inttypes.h>

#define BEFORE "{\"user_id\": \"w\", \"timestamp\": 0123456789, \"message\": \""
#define AFTER "\", \"nickname\": \"w\"}"

enum { WINDOW_MAX = 64, DIGITS = 8, LOGINS_AT_ONCE = 64 };

struct chat {
    struct loop *loop;
    const struct options *options;
    struct client *clients;
    struct client_kind kind;
    char *text; /* what is said: eight digits, then filling */
    size_t text_len;
    uint32_t joined, sent, done;
    uint32_t have[WINDOW_MAX];
    bool sending;
    uint64_t deliveries;
};

struct mark {
    uint64_t ns, cpu, deliveries;
    uint32_t done;
};

static uint32_t everybody(const struct chat *chat)
{
    return chat->options->connections + 1;
}

static void number_text(struct chat *chat, uint32_t number)
{
    for (int i = DIGITS - 1; i >= 0; i--) {
        chat->text[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

static void send_window(struct chat *chat)
{
    static struct buf out;
    while (chat->sending && chat->sent - chat->done < chat->options->window) {
        number_text(chat, chat->sent);
        out.len = 0;
        buf_printf(&out, "{\"action\":\"message\",\"message\":\"%s\"}", chat->text);
        client_send(&chat->clients[0], buf_span(&out));
        chat->sent++;
    }
}

/* True when it is message `number`, byte for byte but for the time. */
static bool is_broadcast(struct chat *chat, struct span text, uint32_t number)
{
    static const struct span before = SPAN(BEFORE), after = SPAN(AFTER);
    size_t head = sizeof("{\"user_id\": \"w\", \"timestamp\": ") - 1, time_len = 10;
    number_text(chat, number);
    return text.len == before.len + chat->text_len + after.len &&
           memcmp(text.ptr, before.ptr, head) == 0 &&
           memcmp(text.ptr + head + time_len, before.ptr + head + time_len,
                  before.len - head - time_len) == 0 &&
           memcmp(text.ptr + before.len, chat->text, chat->text_len) == 0 &&
           memcmp(text.ptr + before.len + chat->text_len, after.ptr, after.len) == 0;
}

static void note_delivery(struct chat *chat, struct client *client)
{
    chat->have[client->received % WINDOW_MAX]++;
    client->received++;
    chat->deliveries++;
    while (chat->have[chat->done % WINDOW_MAX] == everybody(chat)) {
        chat->have[chat->done % WINDOW_MAX] = 0;
        chat->done++;
    }
    send_window(chat);
}

static void on_frame(struct client *client, const struct frame *frame)
{
    struct chat *chat = client->kind->arg;
    if (client->joined && client->received < chat->sent &&
        is_broadcast(chat, frame->payload, client->received)) {
        note_delivery(chat, client);
    } else if (!client->joined && span_eq(frame->payload, SPAN("{\"info\": \"connected\"}"))) {
        client->joined = true;
        chat->joined++;
    } else {
        fail("client %u wants message %u, got: %.*s", client->index, client->received,
             SPAN_ARG(frame->payload));
    }
}

static void open_clients(struct chat *chat)
{
    const struct options *options = chat->options;
    chat->kind = (struct client_kind){.path = options->path, .frame = on_frame, .arg = chat};
    phase_set("connecting");
    chat->clients = client_connect(chat->loop, &chat->kind, options->nodes, options->node_count,
                                   everybody(chat));
}

static void log_in(struct chat *chat)
{
    phase_set("logging in");
    for (uint32_t i = 0; i < everybody(chat); i++) {
        struct buf out = {0};
        buf_printf(&out, "{\"action\":\"login\",\"token\":\"%s%.0u\"}", i == 0 ? "w" : "r", i);
        client_send(&chat->clients[i], buf_span(&out));
        buf_free(&out);
        while (i + 1 - chat->joined > LOGINS_AT_ONCE) {
            loop_turn(chat->loop);
        }
    }
    while (chat->joined < everybody(chat)) {
        loop_turn(chat->loop);
    }
}

static void say_for(struct chat *chat, double seconds)
{
    chat->sending = true;
    send_window(chat);
    loop_run_for(chat->loop, seconds);
    chat->sending = false;
    while (chat->done < chat->sent) {
        loop_turn(chat->loop);
    }
}

static uint64_t cpu_of_nodes(const struct options *options)
{
    return (options->pid != 0 ? cpu_ns(options->pid) : 0) +
           (options->second_pid != 0 ? cpu_ns(options->second_pid) : 0);
}

static struct mark take_mark(const struct chat *chat)
{
    return (struct mark){.ns = now_ns(),
                         .cpu = cpu_of_nodes(chat->options),
                         .deliveries = chat->deliveries,
                         .done = chat->done};
}

static void init_text(struct chat *chat)
{
    size_t added = sizeof(BEFORE AFTER) - 1;
    if (chat->options->size < added + DIGITS) {
        fail("--size must be %zu or more", added + DIGITS);
    }
    chat->text_len = chat->options->size - added;
    chat->text = mem_zalloc(chat->text_len + 1);
    memset(chat->text, 'x', chat->text_len);
}

void mode_chat(struct loop *loop, const struct options *options)
{
    mode_needs_node(options);
    struct chat chat = {.loop = loop, .options = options};
    if (options->window == 0 || options->window > WINDOW_MAX) {
        fail("--window must be 1 to %d", WINDOW_MAX);
    }
    init_text(&chat);
    open_clients(&chat);
    log_in(&chat);
    phase_set("warming up");
    say_for(&chat, options->warm_up);
    phase_set("measuring");
    struct mark from = take_mark(&chat);
    say_for(&chat, options->seconds);
    struct mark to = take_mark(&chat);
    printf("{\"deliveries\":%" PRIu64 ",\"messages\":%u,\"seconds\":%.6f,\"cpu_ns\":%" PRIu64 "}\n",
           to.deliveries - from.deliveries, to.done - from.done, (double)(to.ns - from.ns) / 1e9,
           to.cpu - from.cpu);
    client_close_all(chat.clients, everybody(&chat));
}
