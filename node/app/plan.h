/* SPDX-License-Identifier: MIT */
/* plan: what can be known of a verb's settings before anything is opened or asked. The verb's own
 * start and `muster check` ask the same. */
#ifndef MUSTER_NODE_APP_PLAN_H
#define MUSTER_NODE_APP_PLAN_H

#include "node/core/settings.h"

/* One more fault, in words that begin with the setting's flag. */
typedef void plan_fault_fn(void *arg, const char *error);

/* Tells `fault` all that would keep a node, or a sink, from starting. */
void plan_each_node_fault(const struct settings *settings, plan_fault_fn *fault, void *arg);
void plan_each_sink_fault(const struct settings *settings, plan_fault_fn *fault, void *arg);

/* 0, or -1 with the first fault in `error`. */
int plan_check_node(const struct settings *settings, char *error, size_t error_size)
    __attribute__((warn_unused_result));
int plan_check_sink(const struct settings *settings, char *error, size_t error_size)
    __attribute__((warn_unused_result));

#endif
