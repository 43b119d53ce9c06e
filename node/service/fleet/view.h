/* SPDX-License-Identifier: MIT */
/* view: the roster of nodes as pages are shown it. A node has up to three members there:
 *
 *     "<node>"          its figures, and how it is
 *     "<node> lists"    what its services show
 *     "<node> servers"  what the store's servers told it, where it is the one that asks them
 *
 * A page gets all of it first (fleet_view_print), and each member that changes from there on. */
#ifndef MUSTER_NODE_SERVICE_FLEET_VIEW_H
#define MUSTER_NODE_SERVICE_FLEET_VIEW_H

#include "node/fanout/group.h"
#include "node/service/fleet/events.h"
#include "store/roster/roster.h"

/* The roster's key. */
#define FLEET_NODES SPAN("nodes")

enum fleet_part { FLEET_PART_NODE, FLEET_PART_LISTS, FLEET_PART_SERVERS };

/* Appends the name of that member; a node's name has no blank in it. */
void fleet_view_name(struct span node, enum fleet_part part, struct buf *out);

/* How many nodes there are. */
size_t fleet_view_count(const struct roster_watch *nodes);

/* Appends {"nodes":[...],"servers":[...],"events":[...],"problems":[...],"time":...}. */
void fleet_view_print(const struct roster_watch *nodes, const struct fleet_events *events,
                      struct buf *out);

/* Tells viewers who have the view of a member that has come or changed, or is gone. */
void fleet_view_set(struct group *viewers, const struct roster_member *member);
void fleet_view_gone(struct group *viewers, const struct roster_member *member);

#endif
