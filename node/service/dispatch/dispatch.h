/* SPDX-License-Identifier: MIT */
/* dispatch: device ports on demand (docs/protocols.md#dispatch). Drivers are WebSocket clients that
 * ask for a port; devices are plain TCP and UDP clients of that port, on whichever node they come in.
 *
 *     device socket --> device (here) --attachment--> driver (here)
 *                          \--leg--> bus --leg--> device (there) --attachment--> driver
 *
 *     port/    a port and its drivers: who in the cluster wants it, its sockets here, datagrams
 *     device/  a TCP device, its drivers here, and whether it may send (device/flow.c)
 *     mesh/    this node among the others: legs, epochs, what they say (mesh/inbound.c)
 *
 * There is one way to react: whatever changes something *touches* a port, the drivers that register
 * or a device; when the loop's turn ends each of these is looked at once, and settled in one place
 * (on_turn_end in routes.c).
 *
 * Back-pressure. A driver whose WebSocket has DRIVER_FULL bytes queued holds back every device that
 * it is attached to: one that is here is not read, one that is there gets no more credit, so that
 * its node does not read it. The other way, a driver that wrote WRITES_MOST bytes which the device
 * has not taken is itself not read until it has. */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_DISPATCH_H
#define MUSTER_NODE_SERVICE_DISPATCH_DISPATCH_H

#include "node/core/metrics.h"
#include "node/net/net.h"
#include "node/proto/http/http.h"
#include "store/store.h"

struct dispatch;

/* All borrowed for the service's life. */
struct dispatch_options {
    struct net *net;
    struct store *store;
    struct metrics *metrics;
    const char *node;  /* this node's name in the fleet, without blanks */
    const char *ports; /* what drivers may open, see port/ranges.h */
    const char *bind;  /* IP to bind the ports to; empty: all */
    const char *secret;
    const char *proxy;    /* CIDR ranges of load balancers that send a PROXY header */
    bool production;      /* the well-known secret is refused */
    uint32_t stall_ms;    /* a device or driver that does not read for so long is closed */
    size_t queue_limit;   /* bytes waiting for one device */
    size_t message_limit; /* bytes of a driver's message */
};

/* Are ports, bind, secret and proxy good? 0, or -1 with a message that names the setting. */
int dispatch_check(const struct dispatch_options *options, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* New, with its routes put into `server`. The options were checked. */
struct dispatch *dispatch_new(struct http_server *server, const struct dispatch_options *options);

/* Appends, for the fleet's page, the ports that drivers or devices connected here have, and those
 * that could not be opened here: {"rows":[{"port":6001,"proto":"tcp","open":true,"devices":2,
 * "drivers":["10.0.0.7:50112"],"more":0}],"more":0}. The addresses that a driver accepts are not in
 * it, nor where devices are; `devices` stands with TCP only. */
void dispatch_describe(const struct dispatch *dispatch, struct buf *out);

/* Closes all ports and takes no more drivers. Before net_free at the latest; NULL is fine. */
void dispatch_drain(struct dispatch *dispatch);

/* Frees; its connections must be gone (net_free), the store still open. NULL inside is fine. */
void dispatch_free(struct dispatch **dispatch);

#endif
