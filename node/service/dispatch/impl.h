/* What the dispatch_*.c files share; no other file includes it.
 *
 *     dispatch.c         HTTP: routes, parameters, statistics
 *     driver.c  a driver: its registration, its WebSocket, how full it is
 *     port.c    a port: which drivers registered it, its sockets here
 *     count.c   how many devices a port has in the cluster
 *     device.c  a TCP device, wherever it is, and the drivers here that have it
 *     here.c    a device whose socket is here
 *     there.c   a device of another node that drivers here have
 *     mesh.c    this node among the others, and when bytes between them may be lost
 *     node.c    the way to another node: messages, and when it is congested
 *     leg.c     the way of one device between two nodes: frames
 *     udp.c     datagrams
 *     page.c    what the fleet's page shows of it
 *
 *     device socket --> device (here) --attachment--> driver (here)
 *                          \--leg--> bus --leg--> device (there) --attachment--> driver
 *
 * Back-pressure. A driver whose WebSocket has DRIVER_FULL bytes queued holds back every device that
 * it is attached to: one that is here is not read, one that is there gets no more credit, so that
 * its node does not read it. The other way, a driver that wrote WRITES_MOST bytes which the device
 * has not taken is itself not read until it has. */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_IMPL_H
#define MUSTER_NODE_SERVICE_DISPATCH_IMPL_H

#include "node/net/cidr.h"
#include "node/net/conn.h"
#include "node/net/listener.h"
#include "node/net/udp.h"
#include "node/proto/ws/ws.h"
#include "node/service/dispatch/dispatch.h"
#include "node/service/dispatch/frame.h"
#include "node/service/dispatch/message.h"
#include "store/base/list.h"
#include "store/base/map.h"
#include "store/bus.h"
#include "store/roster/roster.h"

#include <stdbool.h>

enum {
    KIB = 1024,
    DRIVER_FULL = 256 * KIB, /* bytes queued at which a driver holds its devices back */
    DRIVER_EMPTY = 96 * KIB, /* and below which it lets them go */
    WRITES_MOST = 256 * KIB, /* bytes on their way to a device before their driver is paused */
    WINDOW_FIRST = 8 * KIB,  /* credit of a device elsewhere; doubled as it is used */
    WINDOW_MOST = 256 * KIB,
    LEG_COST = 32,                /* what a frame between nodes counts besides its bytes */
    DEVICE_LEAST_TAKEN = 4 * KIB, /* bytes per dispatch-stall; fewer: the device does not read */
    GONE_LINGER_MS = 5 * 1000     /* for a disconnected device that took all to close, too */
};

struct leg;
struct mesh_node;
struct mesh;

struct dispatch {
    struct dispatch_options options;
    struct mesh *mesh;
    unsigned low, high;       /* ports that may be opened */
    struct cidr_list trusted; /* senders of PROXY headers */
    struct map ports;         /* struct port by name */
    struct map devices;       /* struct device by id */
    struct roster_watch *index;
    bool index_shrunk;
    struct list registering; /* struct driver */
    struct list full;        /* struct driver: hold devices back */
    struct list unsettled;   /* struct port */
    struct list uncounted;   /* struct port */
    struct wheel_timer count_timer;
    uint64_t drivers_ever;
    uint64_t datagrams; /* of devices here, each a mark of the nodes that it is sent to */
    bool draining;
};

/* ------------------------------------------------------------------------------ port.c */

/* A driver on another node. */
struct remote_driver {
    struct map_node node; /* by roster member */
    struct span home;     /* node, in `member` */
    struct cidr_list accept;
    char member[];
};

struct port {
    struct map_node node; /* by name */
    struct dispatch *dispatch;
    char name[12];  /* "tcp:6001" */
    struct buf key; /* of the roster */
    uint16_t number;
    bool is_udp;
    bool listed;   /* in the index */
    bool unbound;  /* wanted, and could not be */
    bool counting; /* others know a count of devices here, or that it is unbound */
    struct roster_watch *watch;
    struct map remote;   /* struct remote_driver */
    struct list drivers; /* struct driver, here */
    struct list devices; /* struct device, here and there */
    uint32_t clients;    /* devices here */
    uint32_t sockets;    /* of devices here, with those that have not begun and those that end */
    struct listener *listener;
    struct udp *udp;
    struct udp_homes *homes;          /* UDP: through which nodes devices spoke */
    struct list unsettled, uncounted; /* links */
    struct wheel_timer retry;
};

void dispatch_ports_init(struct dispatch *dispatch);
void dispatch_ports_deinit(struct dispatch *dispatch);
void dispatch_ports_close_all(struct dispatch *dispatch);

/* Binds and unbinds ports, forgets those of no use; at the end of a turn. */
void dispatch_ports_settle(struct dispatch *dispatch);

/* The port of that number, new if need be; it goes by itself. */
struct port *dispatch_port_get(struct dispatch *dispatch, bool is_udp, uint16_t number);
struct port *dispatch_port_find(struct dispatch *dispatch, bool is_udp, uint16_t number);

/* Other nodes can be reached, or this one: ports that waited for that may open. */
void dispatch_ports_touch_closed(struct dispatch *dispatch);

/* Something changed that may make it open, close or go. */
void dispatch_port_touch(struct port *port);

/* Binds it here, if it is not. 0, or -1 with a message. */
int dispatch_port_open(struct port *port, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* A driver here is told to the cluster, or taken back. */
void dispatch_port_claim(struct port *port, struct span member, struct span accept);
void dispatch_port_release(struct port *port, struct span member);

/* The cluster knows that driver. */
bool dispatch_port_knows(const struct port *port, struct span member);

/* Is there a driver here, open or still registering, that accepts the address? */
bool dispatch_port_accepts_here(struct port *port, const struct address *address);

/* A node can be reached from now on: its drivers get the devices here. */
void dispatch_ports_meet(struct dispatch *dispatch, struct mesh_node *peer);

/* "<before> <this node>": a member of rosters. */
void dispatch_port_own_member(const struct port *port, const char *before, struct buf *out);

/* ----------------------------------------------------------------------------- count.c */

void dispatch_counts_init(struct dispatch *dispatch);
void dispatch_counts_deinit(struct dispatch *dispatch);

/* A device came or went here. */
void dispatch_port_count(struct port *port, int by);

/* What the other nodes know of the port here has changed: tells them soon, or at once. */
void dispatch_port_count_later(struct port *port);
void dispatch_port_tell_count(struct port *port);

struct dispatch_port_totals {
    uint64_t drivers, clients, unbound;
};

/* Of the whole cluster. */
struct dispatch_port_totals dispatch_port_totals(struct port *port);

/* ---------------------------------------------------------------------------- driver.c */

enum driver_state { DRIVER_REGISTERING, DRIVER_OPEN, DRIVER_ENDED };

struct driver {
    struct list entry;             /* of the port */
    struct list registering, full; /* links of struct dispatch */
    struct port *port;
    enum driver_state state;
    struct http_request *request; /* while registering */
    struct ws *ws;                /* while open */
    struct wheel_timer
        patience;         /* with the cluster while registering, with the driver while full */
    uint64_t sent, taken; /* bytes in all; what its system had confirmed when that began */
    struct cidr_list accept;
    char *member;                 /* in the roster */
    struct list flowing, holding; /* struct attachment: what devices may send, and may not */
    size_t granted;               /* windows of the devices there */
    unsigned waits;               /* devices that have to take its writes before it is read */
};

/* Registers; the request is answered when the cluster knows. Steals `accept`, read from `text`. */
void dispatch_driver_register(struct port *port, struct http_request *request,
                              struct cidr_list accept, struct span text);

/* Opens the drivers that the cluster knows by now. */
void dispatch_drivers_check(struct dispatch *dispatch);

/* Refuses all that are still registering. */
void dispatch_drivers_refuse(struct dispatch *dispatch);

/* Lets devices go on, whose drivers have room again; at the end of a turn. */
void dispatch_drivers_relieve(struct dispatch *dispatch);

/* Queues the chunk with its own reference. */
void dispatch_driver_send(struct driver *driver, struct chunk *chunk);
bool dispatch_driver_is_full(const struct driver *driver);

/* It holds devices back from now on. */
void dispatch_driver_is_holding(struct driver *driver);

/* ---------------------------------------------------------------------------- device.c */

/* A driver here has a device. */
struct attachment {
    struct list of_device, of_driver; /* links */
    struct device *device;
    struct driver *driver;
    bool holding; /* the driver is full */
    bool waiting; /* the driver waits until the device takes its writes */
};

struct device {
    struct map_node node; /* by id */
    uint64_t id;
    struct list entry; /* of the port */
    struct port *port;
    struct dispatch *dispatch;
    struct address peer;
    struct list attachments;
    struct list legs;      /* here: to nodes that have drivers for it; there: the one to its node */
    struct conn *conn;     /* NULL: it is there */
    struct buf *early;     /* here: the beginning of a PROXY header; mostly NULL */
    uint32_t held;         /* attachments that hold it back */
    uint32_t window, owed; /* there: credit in use, and how much of it can be given again */
    uint64_t written, taken; /* here: bytes in all; those that it had confirmed some time ago */
    bool begun;              /* here: its address is known and some driver accepts it */
    bool ended;
};

enum device_end {
    DEVICE_GONE,    /* the peer or the network ended it */
    DEVICE_SHUT,    /* in order: what was written may still reach it */
    DEVICE_REFUSED, /* at once: no driver ever had it */
    DEVICE_CUT,     /* at once, by a reset: bytes of it or for it may be missing */
};

struct device *dispatch_device_find(struct dispatch *dispatch, uint64_t id);

/* Makes it known under its id and address. */
void dispatch_device_enter(struct device *device);

/* Gives it to the drivers here that are open and accept it. */
void dispatch_device_attach_all(struct device *device);
void dispatch_device_attach(struct device *device, struct driver *driver);
void dispatch_device_detach(struct attachment *attachment);

/* RECEIVED to every attached driver. */
void dispatch_device_deliver(struct device *device, struct span bytes);

/* Something changed that decides whether it may send. */
void dispatch_device_flow(struct device *device);

/* Of a driver. */
void dispatch_device_write(struct attachment *attachment, struct span bytes);
void dispatch_device_shut(struct device *device);

/* The device took what was written: drivers that waited go on. */
void dispatch_device_release_writers(struct device *device);

/* Tells drivers and nodes that it is gone; one that is there is freed, one that is here when its
 * connection has closed. */
void dispatch_device_end(struct device *device, enum device_end how);

/* No driver here has the device any more. */
void dispatch_device_abandoned(struct device *device);

/* ------------------------------------------------------------------------------ here.c */

/* A listener_fn; `port` is a struct port. */
void dispatch_here_accept(void *port, int fd, const struct address *peer);

/* Lets nodes have it that have drivers for it and no leg yet. */
void dispatch_here_offer(struct device *device, const struct remote_driver *driver);

/* A frame of a leg of it. */
void dispatch_here_on_frame(struct leg *leg, const struct mesh_message *frame);

void dispatch_here_flow(struct device *device);
/* The bytes that wait for it then. */
size_t dispatch_here_write(struct device *device, struct span bytes);
void dispatch_here_close(struct device *device, enum device_end how);

/* ----------------------------------------------------------------------------- there.c */

/* MESH_OPEN of a node that speaks in that epoch. */
void dispatch_there_open(struct dispatch *dispatch, struct mesh_node *peer, uint64_t epoch,
                         const struct mesh_message *frame);
/* A frame of a leg of it. */
void dispatch_there_on_frame(struct leg *leg, const struct mesh_message *frame);

void dispatch_there_flow(struct device *device);
void dispatch_there_grant(struct device *device);
size_t dispatch_there_write(struct device *device, struct span bytes);

/* ------------------------------------------------------------------------------ mesh.c */

void dispatch_mesh_init(struct dispatch *dispatch);
void dispatch_mesh_deinit(struct dispatch *dispatch);

/* Other nodes can be spoken to, and none that is known cannot. */
bool dispatch_mesh_is_ready(const struct mesh *mesh);

/* A number that no device or leg of any node has. */
uint64_t dispatch_mesh_new_id(struct mesh *mesh);

/* Publishes what was queued in this turn. */
void dispatch_mesh_flush(struct mesh *mesh);

/* The node of that name when it can be spoken to, or NULL. */
struct mesh_node *dispatch_mesh_node_ready(struct mesh *mesh, struct span name);

/* ------------------------------------------------------------------------------ node.c */

struct span dispatch_mesh_node_name(const struct mesh_node *peer);
uint64_t dispatch_mesh_node_epoch(const struct mesh_node *peer);

/* The way to it is full: nothing more should be sent for now. */
bool dispatch_mesh_node_is_congested(const struct mesh_node *peer);

/* Did it not have that mark yet, which is above 0? It does from then on. */
bool dispatch_mesh_node_mark(struct mesh_node *peer, uint64_t mark);

/* Queues a frame that belongs to no leg known here. */
void dispatch_mesh_node_send(struct mesh_node *peer, const struct mesh_message *frame);

/* ------------------------------------------------------------------------------- leg.c */

struct leg {
    struct map_node node; /* of the peer, by id */
    uint64_t id;
    struct list of_device; /* link */
    struct device *device;
    struct mesh_node *peer;
    uint64_t epoch;     /* of the peer, when it began */
    uint32_t sent, got; /* sequence numbers */
    uint32_t credit;    /* device here: what it may still send */
    uint32_t writes; /* here: bytes that the device has not taken; there: that its node has not */
    bool again;      /* here: the node has another driver since */
};

/* New leg of `device`; `id` is that of its node. */
struct leg *dispatch_leg_new(struct device *device, struct mesh_node *peer, uint64_t id,
                             uint64_t epoch);
void dispatch_leg_free(struct leg *leg);

/* The leg of a device that is there. */
struct leg *dispatch_device_leg(const struct device *device);

/* Queues a frame of this leg; leg and sequence are filled in. */
void dispatch_leg_send(struct leg *leg, struct mesh_message frame);

/* Bytes may be missing: ends the device and tells both sides. */
void dispatch_leg_cut(struct leg *leg, const char *why);

/* ------------------------------------------------------------------------------- udp.c */

/* A udp_fn; `port` is a struct port. */
void dispatch_udp_on_datagram(void *port, const struct address *peer, struct span bytes);

/* One that came in on the node of that name. */
void dispatch_udp_on_remote(struct dispatch *dispatch, struct span node,
                            const struct mesh_message *frame);

/* One that another node's driver sends. */
void dispatch_udp_on_send(struct dispatch *dispatch, const struct mesh_message *frame);

/* A driver's WRITE. 0, or -1 when the address is none. */
int dispatch_udp_write(struct driver *driver, const struct dispatch_frame *frame)
    __attribute__((warn_unused_result));

void dispatch_udp_homes_free(struct udp_homes **homes);

/* -------------------------------------------------------------------------------------- helpers */

static inline struct metrics *metrics_of(const struct dispatch *dispatch)
{
    return dispatch->options.metrics;
}

static inline bool device_is_here(const struct device *device)
{
    return device->conn != NULL;
}

#endif
