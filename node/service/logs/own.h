/* SPDX-License-Identifier: MIT */
/* logs own: the lines that this node writes to its log, put into the stream, gathered for a moment.
 * What goes wrong with them is counted, never logged, and what is logged in the turn in which one
 * of their appends fails is left out: so they never feed on themselves. */
#ifndef MUSTER_NODE_SERVICE_LOGS_OWN_H
#define MUSTER_NODE_SERVICE_LOGS_OWN_H

#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "store/store.h"

struct logs_own;

struct logs_own_options {
    struct loop *loop; /* all borrowed */
    struct store *store;
    struct metrics *metrics;
    const char *node;
    unsigned lanes;
};

struct logs_own *logs_own_new(const struct logs_own_options *options);
void logs_own_free(struct logs_own **own);

#endif
