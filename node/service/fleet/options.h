/* SPDX-License-Identifier: MIT */
/* fleet options: what the fleet is told of the node that it runs in. */
#ifndef MUSTER_NODE_SERVICE_FLEET_OPTIONS_H
#define MUSTER_NODE_SERVICE_FLEET_OPTIONS_H

#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "store/base/buf.h"
#include "store/store.h"

struct fleet_options {
    struct loop *loop; /* borrowed, as is all below */
    struct store *store;
    struct metrics *metrics;
    const char *node;  /* this node's name in the fleet */
    const char *kind;  /* "node" or "sink" */
    const char *zone;  /* where it runs; empty: not told */
    const char *http;  /* where it serves, as it was set */
    const char *token; /* bearer token of /api/status; empty: open */
    /* Why no client should come here now, or NULL: what the node says of itself. */
    const char *(*trouble)(void *arg);
    void *trouble_arg;
    /* Appends members to this node's object, each with a comma before it; NULL: none. */
    void (*more)(void *arg, struct buf *out);
    void *more_arg;
};

enum {
    FLEET_LISTS = 8,               /* lists of a node, at most */
    FLEET_LIST_BYTES = 15 * 1024,  /* of one; longer, it would be left out */
    FLEET_LISTS_BYTES = 60 * 1024, /* of all: a roster value has 64 KiB */
};

/* What a service shows of what it carries here. */
struct fleet_list {
    const char *name; /* of the member in "lists"; borrowed for the fleet's life */
    /* Appends a JSON object {"rows":[...],"more":n}: some rows, how many more there are; no
     * secrets, since all viewers of the page see it. */
    void (*print)(void *arg, struct buf *out);
    void *arg;
};

#endif
