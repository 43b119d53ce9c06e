/* services: every service of a node out of the settings, in the order in which they lean on each
 * other. */
#ifndef MUSTER_NODE_APP_SERVICES_H
#define MUSTER_NODE_APP_SERVICES_H

#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "node/core/settings.h"
#include "node/core/wheel.h"
#include "node/net/net.h"
#include "node/proto/http/http.h"
#include "store/store.h"

struct services;

/* Of the node; all borrowed. */
struct services_parts {
    const struct settings *settings;
    const char *node; /* its name in the fleet */
    struct loop *loop;
    struct wheel *wheel;
    struct metrics *metrics;
    struct store *store;
    struct net *net;
    struct http_server *http, *admin; /* `admin` is `http` where no address for admin is set */
};

/* New, with their routes; dispatch opens ports when drivers ask, the relay and the tracker are listeners'
 * (node/listeners.h). NULL with a message in `error`. */
struct services *services_new(const struct services_parts *parts, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* What the listeners of the node need of them. Borrowed. */
struct status *services_status(const struct services *services);
struct relay *services_relay(const struct services *services);

/* The node is going away: it is not ready and opens no more ports. Clients that are connected stay
 * for now. */
void services_drain(struct services *services);

/* Lets go of what receives by itself; to be called before the net goes, and services_free after.
 * NULL is fine with both. */
void services_stop(struct services *services);
void services_free(struct services **services);

#endif
