/* SPDX-License-Identifier: MIT */
/* plan: what can be known of a verb's settings before anything is opened or asked. The verb's own
 * start and `muster check` ask the same. */
#ifndef MUSTER_NODE_APP_PLAN_H
#define MUSTER_NODE_APP_PLAN_H

#include "node/core/settings.h"

/* One more fault: the setting as the operator named it (a flag, a variable, a line of a file), and
 * what is wrong with it. Both borrowed. */
typedef void plan_fault_fn(void *arg, const char *where, const char *what);

/* Tells `fault` all that would keep a node, a sink or a migration from starting. */
void plan_each_node_fault(const struct settings *settings, plan_fault_fn *fault, void *arg);
void plan_each_sink_fault(const struct settings *settings, plan_fault_fn *fault, void *arg);
void plan_each_migrate_fault(const struct settings *settings, plan_fault_fn *fault, void *arg);

/* An address that a node listens on, with the setting that names it: "host:port", borrowed. */
typedef void plan_bind_fn(void *arg, const char *where, const char *bind, bool udp);

/* Of HTTP, admin, relay and tracker, in this order. */
void plan_each_bind(const struct settings *settings, plan_bind_fn *fn, void *arg);

#endif
