/* SPDX-License-Identifier: MIT */
/* What the files of the mesh share: the mesh itself, its nodes, and what they say of each other. */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_MESH_NODE_H
#define MUSTER_NODE_SERVICE_DISPATCH_MESH_NODE_H

#include "node/service/dispatch/mesh/mesh.h"
#include "store/bus.h"

struct mesh {
    struct dispatch *dispatch;
    struct map nodes;
    struct roster_watch *roster;
    struct bus_sub *own;
    uint32_t number;
    uint32_t counter;
    uint64_t epoch;
    bool settled;      /* the number is ours */
    bool hearing;      /* our topic */
    bool told;         /* that we do, to the others */
    struct map ways;   /* struct mesh_way by node */
    bool unanswered;   /* some node waits for an answer that there was no way for */
    struct list early; /* struct early: of nodes that cannot be spoken to yet */
    size_t early_bytes;
    struct wheel_timer early_timer;
};

/* How often bytes from here to a node may have been lost on the way to that node alone. It outlives
 * the node's place in the roster: an epoch never goes back. */
struct mesh_way {
    struct map_node entry; /* by the node's name */
    uint64_t losses;
    char name[];
};

struct mesh_node {
    struct map_node entry; /* by name */
    struct mesh *mesh;
    uint64_t epoch; /* as in the roster */
    uint64_t mark;  /* node_mark */
    struct bus_sub *follow;
    bool reachable; /* what we lose on the way to it we hear of */
    bool deaf;      /* as in the roster: it does not hear its topic */
    bool congested;
    bool failed;     /* a message found no room in this turn */
    struct map legs; /* by id */
    struct buf out;
    struct list parcels; /* struct parcel: the way was full, in order, before what is in `out` */
    struct buf topic;
    char name[];
};

/* ------------------------------------------------------------------------------ mesh.c */

/* Bytes from other nodes to this one may be lost: ends what it shares with them. */
void dispatch_mesh_lost(struct mesh *mesh);

/* Bytes from this node to that one may be lost: ends what it shares with it. */
void dispatch_mesh_way_lost(struct mesh_node *node);

/* What the head of a message to the node of that name says: the epoch of this node, and how often
 * that way was lost. */
uint64_t dispatch_mesh_epoch_for(const struct mesh *mesh, struct span name);

static inline struct store *dispatch_mesh_store(const struct mesh *mesh)
{
    return mesh->dispatch->options.store;
}

static inline struct span dispatch_mesh_name(const struct mesh *mesh)
{
    return span_str(mesh->dispatch->options.node);
}

/* ------------------------------------------------------------------------------ node.c */

/* Appends the topic of the node of that name. */
void dispatch_mesh_node_topic(struct span name, struct buf *out);

/* The node of that name, or NULL. */
struct mesh_node *dispatch_mesh_node_find(const struct mesh *mesh, struct span name);

/* The same, new if need be; it becomes reachable by itself. */
struct mesh_node *dispatch_mesh_node_get(struct mesh *mesh, struct span name);

/* Nothing about the node itself stands in the way of speaking to it any more. */
void dispatch_mesh_node_meet(struct mesh_node *node);

/* Its legs must be gone. */
void dispatch_mesh_node_free(struct mesh_node *node);

/* Publishes what was queued for it, as far as the way to it has room. */
void dispatch_mesh_node_flush(struct mesh_node *node);
void dispatch_mesh_node_drop_queued(struct mesh_node *node);

/* ------------------------------------------------------------------------------- leg.c */

/* Cuts those that began in an epoch of the node before that one. */
void dispatch_legs_cut(struct mesh_node *node, uint64_t before, const char *why);

/* The node is no more: what was on its side of the legs is gone. */
void dispatch_legs_end(struct mesh_node *node);

/* The devices of all legs may have room again. */
void dispatch_legs_wake(struct mesh_node *node);

/* The leg of that id, or NULL. */
struct dispatch_leg *dispatch_leg_find(const struct mesh_node *node, uint64_t id);

/* -------------------------------------------------------------------------- inbound.c */

void dispatch_inbound_init(struct mesh *mesh);

/* A message from the topic of this node. What it says of legs waits until its node can be spoken
 * to. */
void dispatch_inbound_hear(struct mesh *mesh, struct span message);

/* Hears what waits, of nodes that can be spoken to by now. */
void dispatch_inbound_hear_early(struct mesh *mesh);

/* Forgets what waits: its nodes will learn of the new epoch. */
void dispatch_inbound_drop_early(struct mesh *mesh);

#endif
