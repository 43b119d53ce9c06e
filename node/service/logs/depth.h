/* SPDX-License-Identifier: MIT */
/* logs depth: how many entries the fleet's stream holds, asked of the store now and then, for the
 * metrics of this node. */
#ifndef MUSTER_NODE_SERVICE_LOGS_DEPTH_H
#define MUSTER_NODE_SERVICE_LOGS_DEPTH_H

#include "node/core/metrics.h"
#include "node/core/wheel.h"
#include "store/store.h"

struct logs_depth;

/* New; all are borrowed. */
struct logs_depth *logs_depth_new(struct wheel *wheel, struct store *store,
                                  struct metrics *metrics);

/* Frees; the store must be closed before the loop turns again. NULL inside is fine. */
void logs_depth_free(struct logs_depth **depth);

#endif
