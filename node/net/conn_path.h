/* SPDX-License-Identifier: MIT */
/* conn_path: what the kernel knows of the way to a connection's peer. */
#ifndef MUSTER_NODE_NET_CONN_PATH_H
#define MUSTER_NODE_NET_CONN_PATH_H

#include <stdbool.h>
#include <stdint.h>

struct conn;

/* The way to the peer, as its TCP has measured it. */
struct conn_path {
    uint32_t round_trip_us; /* the shortest of late: of others the peer's delays are a part */
    uint32_t varies_us;     /* by how much round trips vary */
    uint32_t in_flight;     /* segments that are not confirmed */
    uint32_t window;        /* so many may be, by the kernel's rules against congestion */
    uint32_t held;          /* bytes that were written and have not left */
    uint64_t rate;          /* bytes a second: what is written sooner is held. The most: no limit */
    uint32_t lost;          /* segments that had to be sent again, ever */
};

/* False when it is no TCP connection. One system call. */
bool conn_path(const struct conn *conn, struct conn_path *path);

#endif
