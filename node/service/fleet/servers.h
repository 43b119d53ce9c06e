/* SPDX-License-Identifier: MIT */
/* servers: what the servers of the store say of themselves (INFO), asked by one node of the fleet on a slow
 * beat, and which of them each link leads to, looked at by all nodes. */
#ifndef MUSTER_NODE_SERVICE_FLEET_SERVERS_H
#define MUSTER_NODE_SERVICE_FLEET_SERVERS_H

#include "store/base/buf.h"
#include "store/store.h"

struct fleet_servers;

/* A server's link leads to another one than before, or it began a new history; text for a person,
 * borrowed. */
typedef void fleet_servers_fn(void *arg, const char *text);

/* New. `store` is borrowed and outlives it. */
struct fleet_servers *fleet_servers_new(struct store *store, fleet_servers_fn *fn, void *arg);
void fleet_servers_free(struct fleet_servers **servers);

/* To be called every two seconds. `asks`: this node is the one that does. */
void fleet_servers_look(struct fleet_servers *servers, bool asks);

/* Appends {"by": node, "time": ms, "servers": [...]} as it was asked last: bounded, without secrets. False, and
 * nothing: not asked yet. */
bool fleet_servers_print(const struct fleet_servers *servers, const char *node, struct buf *out);

/* Appends a JSON array of the names of those that this node cannot reach now. */
void fleet_servers_print_away(const struct store *store, struct buf *out);

#endif
