/* SPDX-License-Identifier: MIT */
/* How many devices a port has, here and in the cluster. */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_PORT_COUNT_H
#define MUSTER_NODE_SERVICE_DISPATCH_PORT_COUNT_H

#include "node/service/dispatch/port/port.h"

void dispatch_counts_init(struct dispatch *dispatch);
void dispatch_counts_deinit(struct dispatch *dispatch);

/* A device came or went here. */
void dispatch_port_count(struct dispatch_port *port, int by);

/* What the other nodes know of the port here has changed: tells them soon, or at once. */
void dispatch_port_count_later(struct dispatch_port *port);
void dispatch_port_tell_count(struct dispatch_port *port);

struct dispatch_port_totals {
    uint64_t drivers, clients, unbound;
};

/* Of the whole cluster. */
struct dispatch_port_totals dispatch_port_totals(struct dispatch_port *port);

#endif
