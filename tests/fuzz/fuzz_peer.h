/* A client over a socket pair to a server in the same process, for fuzz targets: bytes go in, whole
 * or in pieces, and what comes back is kept. */
#ifndef MUSTER_TESTS_FUZZ_FUZZ_PEER_H
#define MUSTER_TESTS_FUZZ_FUZZ_PEER_H

#include "node/core/wheel.h"
#include "node/proto/http.h"
#include "store/base/mem.h"

#include <stdint.h>
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
