/* SPDX-License-Identifier: MIT */
/* How many devices a port has, here and in the cluster. */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_PORT_COUNT_H
#define MUSTER_NODE_SERVICE_DISPATCH_PORT_COUNT_H

#include "node/service/dispatch/port/port.h"
#include "store/base/cursor.h"

void dispatch_counts_init(struct dispatch *dispatch);
void dispatch_counts_deinit(struct dispatch *dispatch);

/* A device came or went here; a driver is open; it is known by now whether it could be opened. */
void dispatch_port_count(struct dispatch_port *port, int by);
void dispatch_port_count_driver(struct dispatch_port *port, int by);
void dispatch_port_set_unbound(struct dispatch_port *port, bool unbound);

/* A port comes, and goes. */
void dispatch_port_begin_counts(struct dispatch_port *port);
void dispatch_port_end_counts(struct dispatch_port *port);

/* What the other nodes know of the port here has changed: tells them soon, or at once. */
void dispatch_port_count_later(struct dispatch_port *port);
void dispatch_port_tell_count(struct dispatch_port *port);

struct dispatch_port_totals {
    uint64_t drivers, clients, unbound;
};

/* Of the whole cluster. */
struct dispatch_port_totals dispatch_port_totals(struct dispatch_port *port);

/* A walk over all ports in steps, while ports come and go. Lives inside the caller's object. */
struct dispatch_look {
    struct list entry; /* of the dispatch */
    struct cursor at;
};

/* Ends with the port for which dispatch_look_next returns NULL, or with dispatch_look_end. */
void dispatch_look_begin(struct dispatch_look *look, struct dispatch *dispatch);
struct dispatch_port *dispatch_look_next(struct dispatch_look *look);
void dispatch_look_end(struct dispatch_look *look);

#endif
