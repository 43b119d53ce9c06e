/* status: what people and orchestrators ask a node: GET /, /healthz, /readyz, /metrics. */
#ifndef MUSTER_NODE_SERVICE_STATUS_H
#define MUSTER_NODE_SERVICE_STATUS_H

#include "node/core/metrics.h"
#include "node/net/net.h"
#include "node/proto/http.h"
#include "store/store.h"

struct status;

struct status_options {
    struct net *net;         /* borrowed */
    struct store *store;     /* borrowed */
    struct metrics *metrics; /* borrowed */
    const char *node;        /* this node's name in the fleet, borrowed */
};

/* New, with its routes put into `server`. */
struct status *status_new(struct http_server *server, const struct status_options *options);
void status_free(struct status **status);

/* Why no client should be sent here now, or NULL. */
const char *status_trouble(const struct status *status);

/* From now on /readyz says 503. */
void status_drain(struct status *status);

#endif
