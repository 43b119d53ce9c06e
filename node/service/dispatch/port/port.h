/* SPDX-License-Identifier: MIT */
/* port: a device port, which drivers in the cluster want it, and its sockets on this node.
 *
 *     registry.c  which nodes registered it, and when it is open here
 *     driver.c    a driver: its registration, its WebSocket, how full it is
 *     count.c     how many devices it has in the cluster
 *     udp.c       datagrams */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_PORT_PORT_H
#define MUSTER_NODE_SERVICE_DISPATCH_PORT_PORT_H

#include "node/net/listener.h"
#include "node/net/udp.h"
#include "node/proto/ws/ws.h"
#include "node/service/dispatch/frame.h"
#include "node/service/dispatch/mesh/message.h"
#include "node/service/dispatch/state.h"

struct mesh_node;
struct dispatch_leg;
struct dispatch_device;

/* A driver on another node. */
struct remote_driver {
    struct map_node node; /* by roster member */
    struct span home;     /* node, in `member` */
    struct cidr_list accept;
    char member[];
};

struct dispatch_port {
    struct map_node node; /* by name */
    struct list entry;    /* of all ports */
    struct dispatch *dispatch;
    char name[12];  /* "tcp:6001" */
    struct buf key; /* of the roster */
    uint16_t number;
    bool is_udp;
    bool listed;   /* in the index */
    bool unbound;  /* wanted, and could not be */
    bool counting; /* others know a count of devices here, or that it is unbound */
    struct roster_watch *watch;
    struct map remote;            /* struct remote_driver */
    struct list drivers;          /* struct dispatch_driver, here */
    struct list devices;          /* struct dispatch_device, here and there */
    uint32_t clients;             /* devices here */
    uint32_t open;                /* open drivers here */
    struct list shelved;          /* on the shelf */
    struct dispatch_shelf *shelf; /* NULL: none has it */
    uint32_t sockets; /* of devices here, with those that have not begun and those that end */
    struct listener *listener;
    struct udp *udp;
    struct udp_homes *homes;          /* UDP: through which nodes devices spoke */
    struct list unsettled, uncounted; /* links */
    struct wheel_timer retry;
};

void dispatch_ports_init(struct dispatch *dispatch);
void dispatch_ports_deinit(struct dispatch *dispatch);
void dispatch_ports_close_all(struct dispatch *dispatch);

/* The port of that number, new if need be; it goes by itself. */
struct dispatch_port *dispatch_port_get(struct dispatch *dispatch, bool is_udp, uint16_t number);
struct dispatch_port *dispatch_port_find(struct dispatch *dispatch, bool is_udp, uint16_t number);

/* Other nodes can be reached, or this one: ports that waited for that may open. */
void dispatch_ports_touch_closed(struct dispatch *dispatch);

/* Something changed that may make it open, close or go: that is done at the end of this turn, or in one
 * of the next. */
void dispatch_port_touch(struct dispatch_port *port);

/* Binds it here, if it is not. 0, or -1 with a message. */
int dispatch_port_open(struct dispatch_port *port, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* A driver here is told to the cluster, or taken back. */
void dispatch_port_claim(struct dispatch_port *port, struct span member, struct span accept);
void dispatch_port_release(struct dispatch_port *port, struct span member);

/* The cluster knows that driver. */
bool dispatch_port_knows(const struct dispatch_port *port, struct span member);

/* Is there a driver here, open or still registering, that accepts the address? */
bool dispatch_port_accepts_here(struct dispatch_port *port, const struct address *address);

/* A node can be reached from now on: its drivers get the devices here. */
void dispatch_ports_meet(struct dispatch *dispatch, struct mesh_node *node);

/* "<before> <this node>": a member of rosters. */
void dispatch_port_own_member(const struct dispatch_port *port, const char *before,
                              struct buf *out);

/* ---------------------------------------------------------------------------- driver.c */

enum driver_state { DRIVER_REGISTERING, DRIVER_OPEN, DRIVER_ENDED };

struct dispatch_driver {
    struct list entry;             /* of the port */
    struct list registering, full; /* links of struct dispatch */
    struct dispatch_port *port;
    enum driver_state state;
    struct http_request *request; /* while registering */
    struct ws *ws;                /* while open */
    struct wheel_timer
        patience;   /* with the cluster while registering, with the driver while full */
    uint64_t sent;  /* bytes in all */
    uint32_t taken; /* conn_takes' mark */
    struct cidr_list accept;
    char *member;                 /* in the roster */
    struct list flowing, holding; /* struct attachment: what devices may send, and may not */
    size_t granted;               /* windows of the devices there */
    unsigned waits;               /* devices that have to take its writes before it is read */
};

/* Registers; the request is answered when the cluster knows. Steals `accept`, read from `text`. */
void dispatch_driver_register(struct dispatch_port *port, struct http_request *request,
                              struct cidr_list accept, struct span text);

/* A roster or the mesh changed: drivers that register may be open by now. */
void dispatch_drivers_touch(struct dispatch *dispatch);

/* Opens those that may; at the end of a turn. */
void dispatch_drivers_settle(struct dispatch *dispatch);

/* Refuses all that are still registering. */
void dispatch_drivers_refuse(struct dispatch *dispatch);

/* Lets devices go on, whose drivers have room again; at the end of a turn. */
void dispatch_drivers_relieve(struct dispatch *dispatch);

/* Queues the chunk with its own reference. */
void dispatch_driver_send(struct dispatch_driver *driver, struct chunk *chunk);
bool dispatch_driver_is_full(const struct dispatch_driver *driver);

/* It holds devices back from now on. */
void dispatch_driver_is_holding(struct dispatch_driver *driver);

#endif
