/* SPDX-License-Identifier: MIT */
/* relay_floor ADDRESS:PORT: the least that a TCP fan-out can be. One thread, epoll; what one read
 * gives goes to every other connection with one write(2) each. It looks at no byte, has no queues
 * and no limits: a receiver that does not keep up ends the program. It prints `ready` when it
 * listens. */
#include "store/base/mem.h"
#include "tests/bench/floor/serve.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 16 };

struct peer {
    int fd;
    uint32_t at; /* in peers */
};

static struct peer **peers;
static uint32_t count, cap;
static char buffer[READ_SIZE];

static void peer_close(struct peer *peer)
{
    peers[peer->at] = peers[--count];
    peers[peer->at]->at = peer->at;
    close(peer->fd);
    free(peer);
}

static void fan_out(const struct peer *sender, size_t len)
{
    for (uint32_t i = 0; i < count; i++) {
        if (peers[i] == sender) {
            continue;
        }
        ssize_t n = write(peers[i]->fd, buffer, len);
        if (n != (ssize_t)len && !(n < 0 && (errno == EPIPE || errno == ECONNRESET))) {
            die("a receiver does not keep up");
        }
    }
}

static void readable(void *arg)
{
    struct peer *peer = arg;
    ssize_t n = read(peer->fd, buffer, READ_SIZE);
    if (n > 0) {
        fan_out(peer, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
        peer_close(peer);
    }
}

static void *accepted(int fd)
{
    if (count == cap) {
        cap = cap > 0 ? cap * 2 : 256;
        peers = mem_realloc(peers, cap * sizeof(struct peer *));
    }
    struct peer *peer = mem_zalloc(sizeof(*peer));
    *peer = (struct peer){.fd = fd, .at = count};
    peers[count++] = peer;
    return peer;
}

int main(int argc, char **argv)
{
    static const struct floor_handler handler = {.accepted = accepted, .readable = readable};
    return floor_main(argc, argv, &handler);
}
