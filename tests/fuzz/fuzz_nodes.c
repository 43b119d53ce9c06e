/* SPDX-License-Identifier: MIT */
/* What other nodes write into the store for the services of this one: each line of the input is one thing that another
 * node does, or says, while a client of /connect is in the session "s", one of /chat has logged in, and one is at
 * /minigame.
 *
 *     r KEY TAB MEMBER TAB VALUE   a place in a roster      g KEY TAB MEMBER   it goes
 *     b TOPIC TAB BYTES            a message ("\n" and "\0" in it stand for what they mean in C)
 *     h KEY TAB VALUE              an entry of a history
 *     c, d, e TEXT                 what the client of /connect, /chat, /minigame says
 *     t                            seconds pass
 *
 * Whatever it is, this node goes on: in the end its clients' connections are still open, or were closed with a frame. */
#include "fuzz_peer.h"

#include "node/service/chat/chat.h"
#include "node/service/dispatch/dispatch.h"
#include "node/service/minigame/minigame.h"
#include "node/service/sync/sync.h"
#include "store/bus.h"
#include "store/history/history.h"
#include "store/memory/memory.h"
#include "store/roster/roster.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

enum { CLIENTS = 3, PASSES_MS = 2500, TURNS = 3 };

struct node {
    struct fuzz_peer peer;
    struct wheel *wheel;
    struct memory_hub *hub;
    struct store *store, *others;
    struct sync *sync;
    struct chat *chat;
    struct minigame *minigame;
    struct dispatch *dispatch;
    int clients[CLIENTS];
};

static uint64_t ahead_ms;

/* In place of the C library's: time passes when the input says so. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE) {
        uint64_t ns = (uint64_t)now->tv_nsec + ahead_ms % 1000 * 1000000U;
        now->tv_sec += (time_t)(ahead_ms / 1000 + ns / 1000000000U);
        now->tv_nsec = (long)(ns % 1000000000U);
    }
    return rc;
}

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* ------------------------------------------------------------------------------------ this node */

static struct store *open_store(struct node *node, const char *name)
{
    char error[128];
    const struct store_options options = {.base = loop_base(node->peer.loop),
                                          .url = "memory:",
                                          .hub = node->hub,
                                          .prefix = "fuzz",
                                          .node = name,
                                          .lease_ms = 10000};
    struct store *store = store_open(&options, error, sizeof(error));
    must(store != NULL, error);
    return store;
}

static void start_chat(struct node *node)
{
    char error[128];
    const struct chat_options options = {.store = node->store,
                                         .metrics = &node->peer.metrics,
                                         .wheel = node->wheel,
                                         .node = "node",
                                         .login = {.base = loop_base(node->peer.loop),
                                                   .development = true,
                                                   .key_file = "",
                                                   .jwks = "",
                                                   .secret = "",
                                                   .audience = "",
                                                   .issuer = "",
                                                   .nickname_claim = "",
                                                   .account_url = "",
                                                   .login_url = "",
                                                   .account_parallel = 1},
                                         .net = node->peer.net,
                                         .history = 5,
                                         .rate = 1000000,
                                         .burst = 1000000,
                                         .text_limit = 100,
                                         .answer_limit = 10000,
                                         .api_env = "",
                                         .api_desc = ""};
    node->chat = chat_new(node->peer.server, &options, error, sizeof(error));
    must(node->chat != NULL, error);
}

static void start_services(struct node *node)
{
    struct http_server *server = node->peer.server;
    node->sync = sync_new(server, &(struct sync_options){.store = node->store,
                                                         .metrics = &node->peer.metrics,
                                                         .node = "node",
                                                         .idle_ms = 1000000});
    start_chat(node);
    node->minigame = minigame_new(
        server,
        &(struct minigame_options){.store = node->store,
                                   .metrics = &node->peer.metrics,
                                   .wheel = node->wheel,
                                   .node = "node",
                                   .net = node->peer.net,
                                   .online = {CHAT_ONLINE_PARTS, chat_each_online, node->chat},
                                   .token = "",
                                   .webhook_token = ""});
    node->dispatch = dispatch_new(server, &(struct dispatch_options){.net = node->peer.net,
                                                                     .store = node->store,
                                                                     .metrics = &node->peer.metrics,
                                                                     .node = "node",
                                                                     .ports = "64999",
                                                                     .bind = "127.0.0.1",
                                                                     .secret = "s",
                                                                     .proxy = "",
                                                                     .stall_ms = 1000,
                                                                     .queue_limit = 10000,
                                                                     .message_limit = 10000});
}

static void start(struct node *node)
{
    const struct net_limits limits = {.queue = 1 << 20, .connections = CLIENTS + 1};
    node->peer.loop = loop_new();
    node->wheel = wheel_new(node->peer.loop);
    node->peer.net = net_new(node->peer.loop, node->wheel, &node->peer.metrics, &limits);
    node->peer.server = http_server_new(node->peer.net, &fuzz_http_options);
    loop_at_turn_end(node->peer.loop, fuzz_stop, node->peer.loop);
    node->hub = memory_hub_new();
    node->store = open_store(node, "node");
    node->others = open_store(node, "other");
    start_services(node);
}

static void stop(struct node *node)
{
    dispatch_drain(node->dispatch);
    net_free(&node->peer.net);
    dispatch_free(&node->dispatch);
    minigame_free(&node->minigame);
    chat_free(&node->chat);
    sync_free(&node->sync);
    http_server_free(&node->peer.server);
    store_close(&node->store);
    store_close(&node->others);
    memory_hub_free(&node->hub);
    wheel_free(&node->wheel);
    loop_free(&node->peer.loop);
}

/* ------------------------------------------------------------------------------------ its clients */

static void turn(struct node *node)
{
    char bytes[ROOM];
    for (int i = 0; i < TURNS; i++) {
        loop_again(node->peer.loop);
        loop_run(node->peer.loop);
        for (int at = 0; at < CLIENTS; at++) {
            while (node->clients[at] > 0 &&
                   recv(node->clients[at], bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
            }
        }
    }
}

static void say(struct node *node, int client, struct span text)
{
    struct buf frame = {0};
    fuzz_add_frame(&frame, text);
    ssize_t ignored =
        send(node->clients[client], frame.ptr, frame.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)ignored;
    buf_free(&frame);
}

static void come(struct node *node, int client, const char *path, struct span first)
{
    static const struct address address = {.port = 1};
    struct buf in = {0};
    int fds[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0, "sockets");
    http_server_accept(node->peer.server, fds[0], &address);
    node->clients[client] = fds[1];
    fuzz_add_handshake(&in, path);
    fuzz_add_frame(&in, first);
    must(send(fds[1], in.ptr, in.len, 0) == (ssize_t)in.len, "room");
    buf_free(&in);
    turn(node);
}

/* ------------------------------------------------------------------------------------ another node */

static void unescape(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        bool escaped = text.ptr[i] == '\\' && i + 1 < text.len;
        char next = escaped ? text.ptr[i + 1] : text.ptr[i];
        next = !escaped ? next : next == 'n' ? '\n' : next == '0' ? '\0' : next;
        buf_append(out, span_of(&next, 1));
        i += escaped;
    }
}

static void write_for(struct node *node, char kind, struct span key, struct span rest)
{
    struct buf bytes = {0};
    if (kind == 'r') {
        struct span member = span_cut(&rest, '\t');
        unescape(rest, &bytes); /* may be empty */
        roster_claim(node->others, key, member, span_of(buf_text(&bytes), bytes.len));
    } else if (kind == 'g') {
        roster_release(node->others, key, rest);
    } else if (kind == 'b') {
        unescape(rest, &bytes);
        must(bus_publish(node->others, key, buf_span(&bytes)) == 0, "a bus");
    } else {
        const struct history_append append = {
            .key = key, .value = rest, .most = 100, .wait_ms = 1000};
        must(history_append(node->others, &append) == 0, "room");
    }
    buf_free(&bytes);
}

static void happen(struct node *node, struct span line)
{
    char kind = line.ptr[0];
    struct span rest = span_skip(line, 1);
    if (kind >= 'c' && kind <= 'e') {
        say(node, kind - 'c', rest);
    } else if (strchr("rgbh", kind) != NULL && kind != '\0') {
        struct span key = span_cut(&rest, '\t');
        if (key.len > 0 && key.len < 100 && rest.len > 0) {
            write_for(node, kind, key, rest);
        }
    } else {
        ahead_ms += PASSES_MS;
    }
    turn(node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct node node = {0};
    struct span rest = span_of(data, size);
    start(&node);
    come(&node, 0, "/connect",
         SPAN("{\"type\":\"SetSession\",\"sessionId\":\"s\",\"isLeader\":false}"));
    come(&node, 1, "/chat", SPAN("{\"action\":\"login\",\"token\":\"t\"}"));
    come(&node, 2, "/minigame", SPAN("{\"action\":\"scheduler_info\"}"));
    while (rest.len > 0) {
        struct span line = span_cut(&rest, '\n');
        if (line.len > 0) {
            happen(&node, line);
        }
    }
    struct buf page = {0};
    dispatch_describe(node.dispatch, &page);
    buf_free(&page);
    ahead_ms += PASSES_MS;
    turn(&node);
    for (int i = 0; i < CLIENTS; i++) {
        close(node.clients[i]);
    }
    turn(&node);
    stop(&node);
    return 0;
}
