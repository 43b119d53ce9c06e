/* SPDX-License-Identifier: MIT */
/* udp_path: the way of a datagram: who is at its other end, and which of this host's addresses is at this
 * one. */
#ifndef MUSTER_NODE_NET_UDP_PATH_H
#define MUSTER_NODE_NET_UDP_PATH_H

#include "node/net/address.h"

/* The two ends of a datagram. */
struct udp_path {
    struct address peer;
    struct address here; /* at which it came, or from which it leaves; of no host, all zero bytes or
                            not of this host any more: from the one that the route chooses. A port other
                            than the socket's means nothing. */
};

#endif
