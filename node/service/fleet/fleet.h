/* SPDX-License-Identifier: MIT */
/* fleet: every node's figures, as the value of its place in the node roster, and the live page of
 * all of them.
 *
 *     each node: figures --every 2 s--> claim in the roster "nodes", member "<node>"
 *                lists --when they changed, 1 kB/s at most--> member "<node> lists"
 *     a node with a page open: watch of that roster --> WebSocket /api/status/live
 *
 * No node asks the others, and any number of pages on a node cost the fleet one watch. */
#ifndef MUSTER_NODE_SERVICE_FLEET_FLEET_H
#define MUSTER_NODE_SERVICE_FLEET_FLEET_H

#include "node/proto/http/http.h"
#include "node/service/fleet/options.h"

struct fleet;

/* New, with its routes put into `server`: GET /api/status and WebSocket /api/status/live. */
struct fleet *fleet_new(struct http_server *server, const struct fleet_options *options);

/* One more list; before the loop turns. */
void fleet_show(struct fleet *fleet, const struct fleet_list *list);

/* This node leaves in order: the others hear that before it goes. */
void fleet_leave(struct fleet *fleet);

/* Frees; its sockets must be gone. */
void fleet_free(struct fleet **fleet);

#endif
