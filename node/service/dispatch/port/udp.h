/* SPDX-License-Identifier: MIT */
/* Datagrams of a port: in from devices and other nodes, out for drivers. */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_PORT_UDP_H
#define MUSTER_NODE_SERVICE_DISPATCH_PORT_UDP_H

#include "node/service/dispatch/port/port.h"

/* A udp_fn; `port` is a struct dispatch_port. */
void dispatch_udp_on_datagram(void *port, const struct udp_path *path, struct span bytes);

/* One that came in on the node of that name. */
void dispatch_udp_on_remote(struct dispatch *dispatch, struct span node,
                            const struct mesh_message *frame);

/* One that another node's driver sends. */
void dispatch_udp_on_send(struct dispatch *dispatch, const struct mesh_message *frame);

/* A driver's WRITE. 0, or -1 when the address is none. */
int dispatch_udp_write(struct dispatch_driver *driver, const struct dispatch_frame *frame)
    __attribute__((warn_unused_result));

void dispatch_udp_homes_free(struct udp_homes **homes);

#endif
