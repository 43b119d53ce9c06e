/* SPDX-License-Identifier: MIT */
/* device: a TCP device as the drivers here see it, whichever node its socket is on.
 *
 *     life.c   its drivers here, from the first to its end
 *     flow.c   whether it may send, and how much
 *     here.c   its socket, when that is here
 *     there.c  its node, when that is another */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_DEVICE_DEVICE_H
#define MUSTER_NODE_SERVICE_DISPATCH_DEVICE_DEVICE_H

#include "node/net/conn.h"
#include "node/service/dispatch/mesh/message.h"
#include "node/service/dispatch/state.h"

struct dispatch_port;
struct dispatch_driver;
struct remote_driver;
struct dispatch_leg;
struct mesh_node;

/* A driver here has a device. */
struct attachment {
    struct list of_device, of_driver; /* links */
    struct dispatch_device *device;
    struct dispatch_driver *driver;
    bool holding; /* the driver is full: it holds the device back */
    bool waiting; /* the driver waits until the device takes its writes */
};

struct dispatch_device {
    struct map_node node; /* by id */
    uint64_t id;
    struct list entry;   /* of the port */
    struct list touched; /* of the dispatch: looked at when the turn ends */
    struct dispatch_port *port;
    struct dispatch *dispatch;
    struct address peer;
    struct list attachments;
    struct list legs;      /* here: to nodes that have drivers for it; there: the one to its node */
    struct conn *conn;     /* NULL: it is there */
    struct buf *early;     /* here: the beginning of a PROXY header; mostly NULL */
    uint32_t held;         /* attachments that hold it back */
    uint32_t window, owed; /* there: credit in use, and how much of it can be given again */
    uint64_t written;      /* here: bytes in all */
    uint32_t taken;        /* here: conn_takes' mark */
    bool begun;            /* here: its address is known and some driver accepts it */
    bool ended;
};

/* What became of bytes for a device. */
enum device_written {
    WRITTEN,
    WRITTEN_FULL, /* its driver should wait */
    WRITTEN_CUT,  /* it takes no more: it was ended */
};

enum device_end {
    DEVICE_GONE,    /* the peer or the network ended it */
    DEVICE_SHUT,    /* in order: what was written may still reach it */
    DEVICE_REFUSED, /* at once: no driver ever had it */
    DEVICE_CUT,     /* at once, by a reset: bytes of it or for it may be missing */
};

struct dispatch_device *dispatch_device_find(struct dispatch *dispatch, uint64_t id);

/* Makes it known under its id and address. */
void dispatch_device_enter(struct dispatch_device *device);

/* Gives it to the drivers here that are open and accept it. */
void dispatch_device_attach_all(struct dispatch_device *device);
void dispatch_device_attach(struct dispatch_device *device, struct dispatch_driver *driver);
void dispatch_device_detach(struct attachment *attachment);

/* The driver holds the device back, or lets it send: the list of the driver, the mark and the device's
 * count are one state, changed here alone. */
void dispatch_device_hold(struct attachment *attachment, bool hold);

/* RECEIVED to every attached driver. */
void dispatch_device_deliver(struct dispatch_device *device, struct span bytes);

/* Something changed that decides whether it may send: looked at when the turn ends. */
void dispatch_flow_touch(struct dispatch_device *device);

/* How many of the bytes that were read of a device here may be taken now, and counted against the
 * credit of its legs by the caller. */
size_t dispatch_flow_take(struct dispatch_device *device, size_t offered);

/* Pauses, resumes and grants credit, for all that were touched; at the end of a turn. */
void dispatch_flow_settle(struct dispatch *dispatch);

/* Of a driver. */
void dispatch_device_write(struct attachment *attachment, struct span bytes);
void dispatch_device_shut(struct dispatch_device *device);

/* The device took what was written: drivers that waited go on. */
void dispatch_device_release_writers(struct dispatch_device *device);

/* Tells drivers and nodes that it is gone; one that is there is freed, one that is here when its
 * connection has closed. */
void dispatch_device_end(struct dispatch_device *device, enum device_end how);

/* No driver here has the device any more. */
void dispatch_device_abandoned(struct dispatch_device *device);

/* A listener_fn; `port` is a struct dispatch_port. */
void dispatch_here_accept(void *port, int fd, const struct address *peer);

/* Lets nodes have it that have drivers for it and no leg yet. */
void dispatch_here_offer(struct dispatch_device *device, const struct remote_driver *driver);

/* A frame of a leg of it. */
void dispatch_here_on_frame(struct dispatch_leg *leg, const struct mesh_message *frame);

/* After WRITTEN_CUT the device has ended, and one that is there is freed. */
enum device_written dispatch_here_write(struct dispatch_device *device, struct span bytes);
void dispatch_here_close(struct dispatch_device *device, enum device_end how);

/* MESH_OPEN of a node that speaks in that epoch. */
void dispatch_there_open(struct dispatch *dispatch, struct mesh_node *node, uint64_t epoch,
                         const struct mesh_message *frame);
/* A frame of a leg of it. */
void dispatch_there_on_frame(struct dispatch_leg *leg, const struct mesh_message *frame);

enum device_written dispatch_there_write(struct dispatch_device *device, struct span bytes);

static inline bool device_is_here(const struct dispatch_device *device)
{
    return device->conn != NULL;
}

#endif
