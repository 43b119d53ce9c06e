/* SPDX-License-Identifier: MIT */
/* listeners: where a node lets clients in: the listeners of HTTP and the relay, the tracker's socket.
 *
 *     a node alone                open from the start: balancers ask /readyz first
 *     a worker    WAITING --------------------------------------> OPEN ---drain---> RETIRED
 *                     the store is ready, or is not for a while
 *
 * The kernel gives a worker its share of the clients from the moment on at which it listens. So one
 * that was started again while the others serve first finds its store. The admin port is open at
 * once. */
#ifndef MUSTER_NODE_APP_LISTENERS_H
#define MUSTER_NODE_APP_LISTENERS_H

#include "node/app/app.h"
#include "node/app/health.h"
#include "node/service/relay/relay.h"

struct listeners;

/* All borrowed until listeners_free. */
struct listeners_parts {
    struct app *app;
    struct health *health;
    struct logs *logs;
    struct relay *relay;
    bool
        succeeds; /* another process serves at these ports until this one is ready: nothing is opened before */
};

/* New; or NULL with a message in `error`. */
struct listeners *listeners_new(const struct listeners_parts *parts, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* A worker's listener could not be opened, long after listeners_new: that was logged, and the loop
 * stopped. NULL: false. */
bool listeners_failed(const struct listeners *listeners);

/* Accepts no new clients from now on; connections that already wait are taken. The tracker goes on.
 * NULL is fine. */
void listeners_retire(struct listeners *listeners);

/* Before net_free. NULL inside is fine. */
void listeners_free(struct listeners **listeners);

#endif
