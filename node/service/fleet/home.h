/* SPDX-License-Identifier: MIT */
/* home: what people see of a node at GET /: the live page in a browser, its figures in lines for
 * curl. */
#ifndef MUSTER_NODE_SERVICE_FLEET_HOME_H
#define MUSTER_NODE_SERVICE_FLEET_HOME_H

#include "node/core/metrics.h"
#include "node/proto/http/http.h"

struct fleet_home;

struct fleet_home_options {
    struct metrics *metrics; /* borrowed */
    const char *node;        /* this node's name in the fleet, borrowed */
    /* Why no client should come here now, or NULL. */
    const char *(*trouble)(void *arg);
    void *trouble_arg;
};

/* New, with its route put into `server`. */
struct fleet_home *fleet_home_new(struct http_server *server,
                                  const struct fleet_home_options *options);
void fleet_home_free(struct fleet_home **home);

/* Lets `server`, where clients come in, tell at "/" in plain text how the node is, when the page is
 * served elsewhere. */
void fleet_home_route_text(struct fleet_home *home, struct http_server *server);

#endif
