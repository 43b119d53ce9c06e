/* sync: the WebSocket /connect of game overlays (wire/sync.md), and GET /version. */
#ifndef MUSTER_NODE_SERVICE_SYNC_H
#define MUSTER_NODE_SERVICE_SYNC_H

#include "node/core/metrics.h"
#include "node/proto/http.h"
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

/* Frees; its sockets must be gone. */
void sync_free(struct sync **sync);

#endif
