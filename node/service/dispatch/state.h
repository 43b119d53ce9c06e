/* SPDX-License-Identifier: MIT */
/* What the three modules of dispatch work on together: all that one dispatch is. */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_STATE_H
#define MUSTER_NODE_SERVICE_DISPATCH_STATE_H

#include "node/net/cidr.h"
#include "node/net/work.h"
#include "node/service/dispatch/dispatch.h"
#include "node/service/dispatch/port/ranges.h"
#include "store/base/list.h"
#include "store/base/map.h"
#include "store/roster/roster.h"

#include <stdbool.h>

enum {
    KIB = 1024,
    DRIVER_FULL = 256 * KIB,  /* bytes queued at which a driver holds its devices back */
    DRIVER_EMPTY = 96 * KIB,  /* and below which it lets them go */
    WRITES_MOST = 256 * KIB,  /* bytes on their way to a device before their driver is paused */
    LEG_COST = 32,            /* what a frame between nodes counts besides its bytes */
    GONE_LINGER_MS = 5 * 1000 /* for a disconnected device that took all to close, too */
};

struct mesh;

/* Ports that the fleet's page shows, the longest there first. */
struct dispatch_shelf {
    struct list ports; /* struct dispatch_port */
    size_t count;
};

struct dispatch {
    struct dispatch_options options;
    struct mesh *mesh;
    struct dispatch_ranges ranges; /* what drivers may open */
    struct cidr_list trusted;      /* senders of PROXY headers */
    struct map ports;              /* struct dispatch_port by name */
    struct list every_port;        /* the same, the oldest first */
    struct list looking;           /* struct dispatch_look: who goes through them */
    struct dispatch_shelf driven;  /* those with open drivers here, */
    struct dispatch_shelf
        held; /* and of the others those with devices here, or that could not be opened */
    uint64_t open_drivers, open_devices, unbound; /* of all ports, here */
    struct map devices;                           /* struct dispatch_device by id */
    struct roster_watch *index;
    bool index_shrunk;
    struct list registering; /* struct dispatch_driver */
    struct list full;        /* struct dispatch_driver: hold devices back */
    bool drivers_touched;    /* some of `registering` may be open by now */
    struct list touched;     /* struct dispatch_device: may it send? */
    struct list unsettled;   /* struct dispatch_port */
    struct net_work settling;
    struct list uncounted; /* struct dispatch_port */
    struct wheel_timer count_timer;
    struct net_work telling; /* goes through `uncounted` */
    struct metrics_source gauges;
    uint64_t drivers_ever;
    uint64_t datagrams; /* of devices here, each a mark of the nodes that it is sent to */
    bool draining;
};

static inline struct metrics *metrics_of(const struct dispatch *dispatch)
{
    return dispatch->options.metrics;
}

#endif
