/* SPDX-License-Identifier: MIT */
/* udp_wire: what one system call moves of a UDP socket.
 *
 *     socket --recvmmsg--> inbox: pieces --> datagrams        datagrams --> outbox: pieces --sendmmsg--> socket
 *
 * A piece is one datagram, or several on one path in a row that are equally long (the last may be
 * shorter): the kernel takes it through its layers once and cuts it at the end, or joins it at the
 * beginning (udp(7): UDP_SEGMENT, UDP_GRO). Where it cannot, every datagram is a piece. */
#ifndef MUSTER_NODE_NET_UDP_WIRE_H
#define MUSTER_NODE_NET_UDP_WIRE_H

#include "node/net/udp_path.h"
#include "store/base/chunk.h"
#include "store/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct udp_inbox;

/* Asks the kernel to join what comes in on `fd`, and, where `everywhere`, to tell at which address it
 * came. Says whether it can cut what goes out. */
bool udp_wire_prepare(int fd, int family, bool everywhere);

/* New; its 4 MiB are real only where datagrams ever reached. free() ends it. */
struct udp_inbox *udp_inbox_new(void) __attribute__((returns_nonnull, warn_unused_result));

/* One system call. How many pieces came, 0 when none. */
unsigned udp_inbox_read(struct udp_inbox *inbox, int fd);

struct udp_piece {
    struct udp_path path; /* `here` as the kernel told it, or all zero bytes */
    struct span bytes;    /* borrowed until the next read */
    size_t each;          /* bytes of each datagram but the last; 0: one datagram without bytes */
};

/* Piece `i` of the last read. */
struct udp_piece udp_inbox_piece(struct udp_inbox *inbox, unsigned i);

enum {
    UDP_PIECES = 64,     /* per system call */
    UDP_DATAGRAMS = 256, /* per system call, outbound */
    UDP_JOINED_EACH =
        1200, /* bytes of a datagram that is joined at most: it fits every path's unit (RFC 8200, 5) */
    UDP_JOINED_DATAGRAMS = 64, /* in a piece: the kernel's bound (UDP_MAX_SEGMENTS) */
    UDP_JOINED_BYTES = 60000,  /* of a piece: below what fits an IP packet */
};

/* What is about to go out in one system call. For the stack: 7 KiB. */
struct udp_outbox {
    int family; /* of the socket */
    bool joins;
    unsigned pieces, datagrams;
    struct udp_outbox_piece {
        const struct udp_path *path;
        size_t each, last;     /* bytes of the first datagram, of the last one */
        unsigned first, count; /* datagrams */
    } piece[UDP_PIECES];
    struct iovec datagram[UDP_DATAGRAMS];
};

void udp_outbox_init(struct udp_outbox *outbox, int family, bool joins);

/* Adds one datagram; both are borrowed until it is sent. false: there is no room, send first. */
bool udp_outbox_add(struct udp_outbox *outbox, const struct udp_path *path, struct chunk *chunk);

/* One system call. How many datagrams from the front went out, or -1 with errno of the first piece,
 * whose `count` tells how many datagrams that concerns. */
int udp_outbox_send(struct udp_outbox *outbox, int fd);

#endif
