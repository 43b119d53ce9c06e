/* SPDX-License-Identifier: MIT */
/* sync: the WebSocket /connect of game overlays (docs/protocols.md#sync), and GET /version.
 *
 *     SetSession --session.c: count, claim--> roster --the fleet's counts--> SessionState to all members
 *     Push of a leader --sync.c: may it?--> members here, and the bus to nodes that have others
 *
 * A client is in one session at a time, and what it says next is heard when that is counted. A member
 * that reads too slowly is closed. When the store may have lost something, members are told the state
 * again; pushes of that time are lost. */
#ifndef MUSTER_NODE_SERVICE_SYNC_SYNC_H
#define MUSTER_NODE_SERVICE_SYNC_SYNC_H

#include "node/core/metrics.h"
#include "node/proto/http/http.h"
#include "store/store.h"

struct sync;

struct sync_options {
    struct store *store;     /* borrowed */
    struct metrics *metrics; /* borrowed */
    const char *node;        /* this node's name in the fleet, borrowed */
    uint32_t idle_ms;        /* silence after which a socket is closed */
};

/* New, with its routes put into `server`. */
struct sync *sync_new(struct http_server *server, const struct sync_options *options);

/* Appends, for the fleet's page, the busiest sessions that are this node's to tell:
 * {"rows":[{"id":"9f86d081","members":4,"leader":true,"nodes":2}],"more":0}. `id` is not the
 * session's, which is all that it takes to join it, but a hash under a key that no one knows. */
void sync_describe(const struct sync *sync, struct buf *out);

/* Frees; its sockets must be gone. */
void sync_free(struct sync **sync);

#endif
