/* SPDX-License-Identifier: MIT */
/* problems: what of the fleet an operator should look at, out of what its nodes say of themselves. */
#ifndef MUSTER_NODE_SERVICE_FLEET_PROBLEMS_H
#define MUSTER_NODE_SERVICE_FLEET_PROBLEMS_H

#include "node/service/fleet/events.h"
#include "store/roster/roster.h"

/* Appends a JSON array of {"node":..., "text":..., "since": unix ms, where known}; [] when all is well.
 * `nodes` is a watch of the roster in which nodes tell their figures. */
void fleet_problems_print(const struct roster_watch *nodes, const struct fleet_events *events,
                          struct buf *out);

#endif
