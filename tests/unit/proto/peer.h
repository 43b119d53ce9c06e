/* SPDX-License-Identifier: MIT */
/* The client's end of a connection to an http_server in the same process: a socket pair, and a loop
 * that is turned by hand. */
#ifndef MUSTER_TESTS_UNIT_PROTO_PEER_H
#define MUSTER_TESTS_UNIT_PROTO_PEER_H

#include "node/core/wheel.h"
#include "node/net/net.h"
#include "node/proto/http/http.h"
#include "store/base/clock.h"
#include "store/base/mem.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct net *net;
    struct http_server *server;
    int fd;
    struct buf got;
    bool eof; /* the server closed */
};

static inline void peer_stop(void *arg)
{
    loop_stop(arg);
}

static inline struct peer *peer_new(const struct http_options *options, size_t queue,
                                    uint32_t connections)
{
    struct peer *peer = mem_zalloc(sizeof(*peer));
    struct net_limits limits = {.queue = queue, .connections = connections};
    peer->loop = loop_new();
    peer->wheel = wheel_new(peer->loop);
    peer->net = net_new(peer->loop, peer->wheel, &peer->metrics, &limits);
    peer->server = http_server_new(peer->net, options);
    peer->fd = -1;
    loop_at_turn_end(peer->loop, peer_stop, peer->loop);
    return peer;
}

/* One turn that does not wait, and what it sent. */
static inline void peer_turn(struct peer *peer)
{
    char bytes[65536];
    loop_again(peer->loop);
    loop_run(peer->loop);
    while (peer->fd >= 0 && !peer->eof) {
        ssize_t n = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        peer->eof = n <= 0;
        buf_append(&peer->got, span_of(bytes, n > 0 ? (size_t)n : 0));
    }
}

/* Turns until nothing more is read, nor said. */
static inline void peer_settle(struct peer *peer)
{
    const uint64_t *read = &peer->metrics.value[METRIC_BYTES_IN];
    int quiet = 0;
    while (quiet < 5) {
        uint64_t before = *read + peer->got.len;
        peer_turn(peer);
        quiet = *read + peer->got.len == before ? quiet + 1 : 0;
    }
}

static inline void peer_leave(struct peer *peer)
{
    if (peer->fd >= 0) {
        close(peer->fd);
        peer->fd = -1;
        if (peer->net != NULL) {
            peer_settle(peer);
        }
    }
    buf_free(&peer->got);
    peer->eof = false;
}

static inline void peer_connect(struct peer *peer)
{
    int fds[2];
    struct address address = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1}, .port = 99};
    peer_leave(peer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    peer->fd = fds[1];
    http_server_accept(peer->server, fds[0], &address);
}

static inline void peer_write(struct peer *peer, struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(peer->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            return; /* the server has gone */
        }
        bytes = span_skip(bytes, n > 0 ? (size_t)n : 0);
        if (bytes.len > 0) {
            peer_turn(peer);
        }
    }
}

/* `piece` bytes a turn; 0: all at once. */
static inline void peer_send(struct peer *peer, struct span bytes, size_t piece)
{
    while (piece > 0 && bytes.len > piece) {
        peer_write(peer, span_of(bytes.ptr, piece));
        peer_turn(peer);
        bytes = span_skip(bytes, piece);
    }
    peer_write(peer, bytes);
    peer_settle(peer);
}

/* Turns until the server closes, for two seconds at most. */
static inline bool peer_waits_for_eof(struct peer *peer)
{
    uint64_t end = clock_monotonic_ms() + 2000;
    while (!peer->eof && clock_monotonic_ms() < end) {
        peer_turn(peer);
        usleep(1000);
    }
    return peer->eof;
}

static inline void peer_free(struct peer *peer)
{
    peer_leave(peer);
    net_free(&peer->net);
    http_server_free(&peer->server);
    wheel_free(&peer->wheel);
    loop_free(&peer->loop);
    free(peer);
}

#endif
