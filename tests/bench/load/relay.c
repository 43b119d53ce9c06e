/* SPDX-License-Identifier: MIT */
/* --connections game servers of the cross-server chat, spread over the nodes. They talk in turn,
 * each to all others; at most --window messages are on their way, and one is done when every other
 * server has it.
 *
 *     message k: said by server k % servers, its k / servers'th
 *
 *     {"identifier":n,"type":"message","username":"bench","content":"xx...x ssss nnnnnnnn"}
 *
 * A server sends what the others get, byte for byte, so that the floor, which changes nothing, and
 * the node, which puts the identifier in, have the same on the wire. */
#include "store/base/buf.h"
#include "store/base/mem.h"
#include "tests/bench/load/cpu.h"
#include "tests/bench/load/fail.h"
#include "tests/bench/load/mode.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WINDOW_MAX = 64,
    TAIL = 15, /* bytes from the sender's number to the end: ssss nnnnnnnn"} */
    READ_SIZE = 1 << 16,
};

struct relay;

struct server {
    struct handler handler;
    struct relay *relay;
    uint32_t index, arrivals; /* connection packets that came */
    uint64_t identifier;      /* 0: not acknowledged yet */
    char *message;            /* what it says, but for the number */
    uint32_t said;
    uint32_t *heard; /* of each other server */
    struct buf in;
};

struct relay {
    struct loop *loop;
    const struct options *options;
    struct server *servers;
    uint32_t count;
    size_t size;
    bool joining, sending;
    uint32_t sent, done;
    uint32_t have[WINDOW_MAX];
    uint64_t deliveries;
};

/* ------------------------------------------------------------------------------------ talk */

static void say(struct relay *relay)
{
    struct server *server = &relay->servers[relay->sent % relay->count];
    char number[9];
    snprintf(number, sizeof(number), "%08u", server->said % 100000000);
    memcpy(server->message + relay->size - 10, number, 8);
    ssize_t n = send(server->handler.fd, server->message, relay->size, MSG_NOSIGNAL);
    must(n == (ssize_t)relay->size, "a message does not fit into the socket");
    server->said++;
    relay->sent++;
}

static void fill_window(struct relay *relay)
{
    while (relay->sending && relay->sent - relay->done < relay->options->window) {
        say(relay);
    }
}

static uint32_t digits(const char *at, size_t count)
{
    uint32_t number = 0;
    for (size_t i = 0; i < count; i++) {
        number = number * 10 + (uint32_t)(at[i] - '0');
    }
    return number;
}

/* One message, which must be the next of its sender. */
static void check_message(struct server *server, const char *at)
{
    struct relay *relay = server->relay;
    uint32_t from = digits(at + relay->size - TAIL, 4);
    uint32_t number = digits(at + relay->size - 10, 8);
    if (from >= relay->count || from == server->index || number != server->heard[from] ||
        memcmp(at, relay->servers[from].message, relay->size - 10) != 0) {
        fail("server %u got what was not said: %.*s", server->index, (int)relay->size, at);
    }
    server->heard[from]++;
    uint32_t message = number * relay->count + from;
    relay->have[message % WINDOW_MAX]++;
    relay->deliveries++;
    while (relay->have[relay->done % WINDOW_MAX] == relay->count - 1) {
        relay->have[relay->done % WINDOW_MAX] = 0;
        relay->done++;
    }
}

static void take_messages(struct server *server)
{
    size_t taken = 0, size = server->relay->size;
    while (server->in.len - taken >= size) {
        check_message(server, server->in.ptr + taken);
        taken += size;
    }
    buf_consume(&server->in, taken);
    fill_window(server->relay);
}

/* ------------------------------------------------------------------------------------ joining */

static uint32_t count_words(struct span text, struct span word)
{
    uint32_t count = 0;
    const char *at;
    while ((at = memmem(text.ptr, text.len, word.ptr, word.len)) != NULL) {
        count++;
        text = span_skip(text, (size_t)(at - text.ptr) + word.len);
    }
    return count;
}

static void take_joins(struct server *server)
{
    struct span text = buf_span(&server->in), mark = SPAN("\"identifier\":");
    if (server->identifier == 0 && count_words(text, SPAN("]}")) == 1) {
        const char *at = memmem(text.ptr, text.len, mark.ptr, mark.len);
        server->identifier = strtoull(at + mark.len, NULL, 10);
    }
    server->arrivals =
        count_words(text, SPAN("\"connection\",")) * (text.ptr[text.len - 1] == '}' ? 1 : 0);
}

static void on_ready(struct handler *handler, uint32_t events)
{
    struct server *server = (struct server *)(void *)handler;
    (void)events;
    ssize_t n = recv(handler->fd, buf_room(&server->in, READ_SIZE), READ_SIZE, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    must(n > 0, "a server was closed");
    buf_grew(&server->in, (size_t)n);
    if (server->relay->joining) {
        take_joins(server);
    } else {
        take_messages(server);
    }
}

static void prepare_message(struct server *server)
{
    struct buf head = {0};
    size_t size = server->relay->size;
    buf_printf(&head,
               "{\"identifier\":%" PRIu64
               ",\"type\":\"message\",\"username\":\"bench\",\"content\":\"",
               server->identifier);
    if (head.len + TAIL + 1 > size) {
        fail("--size must be %zu at least", head.len + TAIL + 1);
    }
    server->message = mem_alloc(size + 1);
    memset(server->message, 'x', size);
    memcpy(server->message, head.ptr, head.len);
    snprintf(server->message + size - TAIL - 1, TAIL + 2, " %04u 00000000\"}", server->index);
    buf_free(&head);
}

static void join(struct server *server)
{
    struct span hello = SPAN("{\"type\":\"handshake\",\"version\":1,\"name\":\"bench\",\"color\":"
                             "\"00aaff\",\"prefix\":\"[b]\",\"playerCount\":1}");
    if (server->relay->options->floor) {
        server->identifier = (uint64_t)1 << 52;
    } else {
        must(send(server->handler.fd, hello.ptr, hello.len, MSG_NOSIGNAL) == (ssize_t)hello.len,
             "handshake");
    }
    while (server->identifier == 0) {
        loop_turn(server->relay->loop);
    }
    prepare_message(server);
}

static void open_server(struct relay *relay, uint32_t index)
{
    const struct options *options = relay->options;
    struct server *server = &relay->servers[index];
    const struct sockaddr_in *node = &options->nodes[index % options->node_count];
    int on = 1;
    server->relay = relay;
    server->index = index;
    server->heard = mem_zalloc(relay->count * sizeof(*server->heard));
    server->handler =
        (struct handler){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .ready = on_ready};
    must(connect(server->handler.fd, (const struct sockaddr *)node, sizeof(*node)) == 0, "connect");
    setsockopt(server->handler.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    loop_add(relay->loop, &server->handler, EPOLLIN);
    join(server);
}

static void open_servers(struct relay *relay)
{
    phase_set("joining");
    relay->joining = true;
    for (uint32_t i = 0; i < relay->count; i++) {
        open_server(relay, i);
    }
    for (uint32_t i = 0; i < relay->count && !relay->options->floor; i++) {
        while (relay->servers[i].arrivals < relay->count - 1 - i) {
            loop_turn(relay->loop);
        }
    }
    for (uint32_t i = 0; i < relay->count; i++) {
        relay->servers[i].in.len = 0;
    }
    relay->joining = false;
}

/* ------------------------------------------------------------------------------------ measuring */

static void talk_for(struct relay *relay, double seconds)
{
    relay->sending = true;
    fill_window(relay);
    loop_run_for(relay->loop, seconds);
    relay->sending = false;
    while (relay->done < relay->sent) {
        loop_turn(relay->loop);
    }
}

static uint64_t nodes_cpu(const struct options *options)
{
    uint64_t first = options->pid != 0 ? cpu_ns(options->pid) : 0;
    return first + (options->second_pid != 0 ? cpu_ns(options->second_pid) : 0);
}

void mode_relay(struct loop *loop, const struct options *options)
{
    mode_needs_node(options);
    struct relay relay = {
        .loop = loop, .options = options, .count = options->connections, .size = options->size};
    if (options->window == 0 || options->window > WINDOW_MAX || relay.count > 9999) {
        fail("--window must be 1 to %d, --connections 9999 at most", WINDOW_MAX);
    }
    relay.servers = mem_zalloc(relay.count * sizeof(*relay.servers));
    open_servers(&relay);
    phase_set("warming up");
    talk_for(&relay, options->warm_up);
    phase_set("measuring");
    uint64_t cpu = nodes_cpu(options), deliveries = relay.deliveries, start = now_ns();
    talk_for(&relay, options->seconds);
    printf("{\"deliveries\":%" PRIu64 ",\"seconds\":%.6f,\"cpu_ns\":%" PRIu64 "}\n",
           relay.deliveries - deliveries, (double)(now_ns() - start) / 1e9,
           nodes_cpu(options) - cpu);
}
