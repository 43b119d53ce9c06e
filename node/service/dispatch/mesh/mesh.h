/* SPDX-License-Identifier: MIT */
/* mesh: this node among the others, and when bytes between them may be lost.
 *
 *     fleet.c  the roster of nodes, epochs
 *     node.c   the way to another node: messages, and when it is congested
 *     leg.c    the way of one device between two nodes: frames
 *     inbound.c  what other nodes say: one parse, one switch */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_MESH_MESH_H
#define MUSTER_NODE_SERVICE_DISPATCH_MESH_MESH_H

#include "node/service/dispatch/mesh/message.h"
#include "node/service/dispatch/state.h"

struct dispatch_device;
struct mesh_node;

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

struct span dispatch_mesh_node_name(const struct mesh_node *node);
uint64_t dispatch_mesh_node_epoch(const struct mesh_node *node);

/* The way to it is full: nothing more should be sent for now. */
bool dispatch_mesh_node_is_congested(const struct mesh_node *node);

/* Did it not have that mark yet, which is above 0? It does from then on. */
bool dispatch_mesh_node_mark(struct mesh_node *node, uint64_t mark);

/* Queues a frame that belongs to no leg known here. */
void dispatch_mesh_node_send(struct mesh_node *node, const struct mesh_message *frame);

struct dispatch_leg {
    struct map_node entry; /* of the node, by id */
    uint64_t id;
    struct list of_device; /* link */
    struct dispatch_device *device;
    struct mesh_node *node;
    uint64_t epoch;     /* of the node, when it began */
    uint32_t sent, got; /* sequence numbers */
    uint32_t credit;    /* device here: what it may still send */
    uint32_t writes; /* here: bytes that the device has not taken; there: that its node has not */
    bool again;      /* here: the node has another driver since */
};

/* New leg of `device`; `id` is that of its node. */
struct dispatch_leg *dispatch_leg_new(struct dispatch_device *device, struct mesh_node *node,
                                      uint64_t id, uint64_t epoch);
void dispatch_leg_free(struct dispatch_leg *leg);

/* The leg of a device that is there. */
struct dispatch_leg *dispatch_device_leg(const struct dispatch_device *device);

/* Queues a frame of this leg; leg and sequence are filled in. */
void dispatch_leg_send(struct dispatch_leg *leg, struct mesh_message frame);

/* Bytes may be missing: ends the device and tells both sides. */
void dispatch_leg_cut(struct dispatch_leg *leg, const char *why);

#endif
