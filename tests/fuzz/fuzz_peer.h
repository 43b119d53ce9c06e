/* SPDX-License-Identifier: MIT */
/* A client over a socket pair to a server in the same process, for fuzz targets: bytes go in, whole
 * or in pieces, and what comes back is kept. */
#ifndef MUSTER_TESTS_FUZZ_FUZZ_PEER_H
#define MUSTER_TESTS_FUZZ_FUZZ_PEER_H

#include "node/core/wheel.h"
#include "node/net/net.h"
#include "node/proto/http/http.h"
#include "store/base/mem.h"
#include "store/store.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 16 * 1024 };

struct fuzz_peer {
    struct loop *loop;
    struct metrics metrics;
    struct net *net;
    struct http_server *server;
};

static inline void fuzz_stop(void *arg)
{
    loop_stop(arg);
}

static inline void fuzz_peer_init(struct fuzz_peer *peer, const struct http_options *options)
{
    const struct net_limits limits = {.queue = 1 << 20, .connections = 4};
    peer->loop = loop_new();
    peer->net = net_new(peer->loop, wheel_new(peer->loop), &peer->metrics, &limits);
    peer->server = http_server_new(peer->net, options);
    loop_at_turn_end(peer->loop, fuzz_stop, peer->loop);
}

/* The store of this process; ends it where there is none. */
static inline struct store *fuzz_store(const struct fuzz_peer *peer)
{
    char error[128];
    const struct store_options options = {.base = loop_base(peer->loop),
                                          .url = "memory:",
                                          .prefix = "fuzz",
                                          .node = "node",
                                          .lease_ms = 10000};
    struct store *store = store_open(&options, error, sizeof(error));
    if (store == NULL) {
        abort();
    }
    return store;
}

/* Limits that no input of a fuzzer runs into by time. */
static const struct http_options fuzz_http_options = {.header_limit = 4096,
                                                      .body_limit = 64,
                                                      .request_ms = 1000000,
                                                      .keep_alive_ms = 1000000,
                                                      .ws_message_limit = 100000};

static inline void fuzz_add_handshake(struct buf *in, const char *path)
{
    buf_printf(in,
               "GET %s HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
               path);
}

/* A message of a WebSocket client: binary where it begins with a NUL, else text; up to 64 KiB. */
static inline void fuzz_add_frame(struct buf *in, struct span message)
{
    bool binary = message.len > 0 && message.ptr[0] == '\0';
    char head[4] = {(char)(binary ? 0x82 : 0x81), (char)(0x80 | 126), (char)(message.len >> 8),
                    (char)message.len};
    size_t head_len = message.len < 126 ? 2 : 4;
    if (message.len < 126) {
        head[1] = (char)(0x80 | message.len);
    }
    buf_append(in, span_of(head, head_len));
    buf_append(in, span_of("\0\0\0\0", 4)); /* a mask that changes nothing */
    buf_append(in, message);
}

/* One turn; true when something came back or the server may have more to do. */
static inline bool fuzz_turn(struct fuzz_peer *peer, int fd, struct buf *out)
{
    loop_again(peer->loop);
    loop_run(peer->loop);
    ssize_t n = fd >= 0 ? recv(fd, buf_room(out, ROOM), ROOM, MSG_DONTWAIT) : 0;
    buf_grew(out, n > 0 ? (size_t)n : 0);
    return n > 0;
}

static inline void fuzz_settle(struct fuzz_peer *peer, int fd, struct buf *out, int quiet_turns)
{
    for (int quiet = 0; quiet < quiet_turns; quiet++) {
        if (fuzz_turn(peer, fd, out)) {
            quiet = -1;
        }
    }
}

/* Sends `in`, cut as `seed` says (0: not at all), and gathers the answers in `out`. `tick` is
 * called between turns until it returns false. */
static inline void fuzz_play(struct fuzz_peer *peer, struct span in, uint32_t seed, struct buf *out,
                             bool (*tick)(void))
{
    static const struct address address = {.port = 1};
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) {
        abort();
    }
    http_server_accept(peer->server, fds[0], &address);
    while (in.len > 0) {
        size_t piece = in.len;
        if (seed != 0) {
            seed = seed * 1664525 + 1013904223;
            piece = (seed >> 24) % 4 == 0 ? (seed >> 16) % 4 + 1 : (seed >> 16) % 64 + 1;
            piece = piece < in.len ? piece : in.len;
        }
        ssize_t n = send(fds[1], in.ptr, piece, MSG_NOSIGNAL);
        if (n < 0) {
            break; /* the server has gone */
        }
        in = span_skip(in, (size_t)n);
        fuzz_turn(peer, fds[1], out);
    }
    do {
        fuzz_settle(peer, fds[1], out, 2);
    } while (tick != NULL && tick());
    close(fds[1]);
    while (true) {
        bool full;
        fuzz_turn(peer, -1, out);
        if (net_connections(peer->net, &full) == 0) {
            break;
        }
    }
}

#endif
