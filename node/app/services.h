/* SPDX-License-Identifier: MIT */
/* services: every service of a node out of the settings, in the order in which they lean on each
 * other. The one place where a setting meets its service. */
#ifndef MUSTER_NODE_APP_SERVICES_H
#define MUSTER_NODE_APP_SERVICES_H

#include "node/app/app.h"
#include "node/app/health.h"
#include "node/service/tracker/tracker.h"

struct logs;
struct relay;
struct services;

/* What a service can say of its settings before anything is opened: 0, or -1 with a message that
 * begins with the setting's name. */
typedef int services_check_fn(const struct settings *settings, char *error, size_t error_size);

/* All of them, NULL-ended: the node's start asks the first that fails, `muster check` all. */
extern services_check_fn *const services_checks[];

/* New, with their routes; dispatch opens ports when drivers ask, the relay and the tracker are
 * listeners' (node/app/listeners.h). `app` and `health` are borrowed. NULL with a message in
 * `error`. */
struct services *services_new(struct app *app, struct health *health, char *error,
                              size_t error_size) __attribute__((warn_unused_result));

/* What the listeners of the node need of them. Borrowed. */
struct logs *services_logs(const struct services *services);
struct relay *services_relay(const struct services *services);

/* The tracker's options as far as settings give them. */
struct tracker_options services_tracker_options(const struct settings *settings);

/* The node is going away: it opens no more ports. Clients that are connected stay for now. */
void services_drain(struct services *services);

/* Lets go of what receives by itself; to be called before the net goes, and services_free after.
 * NULL is fine with both. */
void services_stop(struct services *services);
void services_free(struct services **services);

#endif
