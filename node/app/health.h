/* SPDX-License-Identifier: MIT */
/* health: what orchestrators ask a node or a sink: GET /healthz, /readyz, /metrics.
 *
 * Healthy is a process whose loop turns; a lost Redis is no reason to start it again. Ready is one
 * that clients should be sent to. */
#ifndef MUSTER_NODE_APP_HEALTH_H
#define MUSTER_NODE_APP_HEALTH_H

#include "node/app/app.h"

struct health;

struct health_options {
    struct app *app; /* borrowed */
    /* Why this process is not ready, for what health itself cannot know; NULL: it is. May be NULL.
     */
    const char *(*trouble)(void *arg);
    void (*refresh)(void *arg); /* before metrics are printed; may be NULL */
    void *arg;
};

/* New, with its routes on the app's admin server. */
struct health *health_new(const struct health_options *options);
void health_free(struct health **health);

/* Why no client should be sent here now, or NULL. */
const char *health_trouble(struct health *health);

/* While held, the ports for clients are not open yet. */
void health_hold(struct health *health, bool held);

/* From now on /readyz says 503. */
void health_drain(struct health *health);

#endif
