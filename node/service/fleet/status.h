/* status: what people and orchestrators ask a node: GET /, /healthz, /readyz, /metrics. */
#ifndef MUSTER_NODE_SERVICE_FLEET_STATUS_H
#define MUSTER_NODE_SERVICE_FLEET_STATUS_H

#include "node/core/metrics.h"
#include "node/net/net.h"
#include "node/proto/http/http.h"
#include "store/store.h"

struct status;

struct status_options {
    struct net *net;         /* borrowed */
    struct store *store;     /* borrowed */
    struct metrics *metrics; /* borrowed */
    const char *node;        /* this node's name in the fleet, borrowed */
    int64_t memory_limit;    /* bytes, as memory_watch.h says */
};

/* New, with its routes put into `server`. */
struct status *fleet_status_new(struct http_server *server, const struct status_options *options);
void fleet_status_free(struct status **status);

/* Why no client should be sent here now, or NULL. */
const char *fleet_status_trouble(const struct status *status);

/* Lets `server`, where clients come in, tell at "/" in plain text how the node is, when the page is
 * served elsewhere. */
void fleet_status_route_text(struct status *status, struct http_server *server);

/* While held, the ports for clients are not open yet. */
void fleet_status_hold(struct status *status, bool held);

/* From now on /readyz says 503. */
void fleet_status_drain(struct status *status);

#endif
