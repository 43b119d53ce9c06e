/* SPDX-License-Identifier: MIT */
/* events: what happened to the fleet, the last hundred of it, kept in the store for pages that are
 * opened later.
 *
 *     each node: claim in the small roster "presence" --> the others hear who came, leaves, was lost
 *     node or first of them: event --> history "fleet events" --> every node's copy of the last hundred
 *
 * A node itself reports what concerns it alone (it came, leaves, reached a limit). What all nodes
 * see (one was lost, the store was away) is reported by one: the first of the names that are
 * present. A node that was lost counts as such only when it stays away for some seconds more: after
 * an outage of the store all claims come back one after the other. */
#ifndef MUSTER_NODE_SERVICE_FLEET_EVENTS_H
#define MUSTER_NODE_SERVICE_FLEET_EVENTS_H

#include "node/core/metrics.h"
#include "node/fanout/group.h"
#include "store/store.h"

#include <stdbool.h>

struct fleet_events;

struct fleet_events_options {
    struct store *store; /* borrowed, as is all below */
    const struct metrics *metrics;
    const char *node, *kind;
    uint64_t started_s;    /* unix */
    struct group *viewers; /* struct fleet_viewer; are shown each event that comes */
};

struct fleet_events *fleet_events_new(const struct fleet_events_options *options);
void fleet_events_free(struct fleet_events **events);

/* Looks at what this node can see of itself: its state (what it says of itself, or NULL: well), the
 * store, its counters. To be called every few seconds. */
void fleet_events_look(struct fleet_events *events, const char *state);

/* This node leaves in order: it says so, and its going is no loss. */
void fleet_events_leave(struct fleet_events *events);

/* Is this node the one that reports what all see? */
bool fleet_events_speaks(const struct fleet_events *events);

/* Reports that. Nothing where another node does. */
void fleet_events_say_for_all(struct fleet_events *events, const char *what, const char *text);

/* Appends them as a JSON array, the newest first. */
void fleet_events_print(const struct fleet_events *events, struct buf *out);

/* Calls `fn` for each node that was lost within the last hour and has not come back. `node` is JSON, a
 * string; `at_ms` is unix. */
void fleet_events_each_lost(const struct fleet_events *events,
                            void (*fn)(void *arg, struct span node, uint64_t at_ms), void *arg);

#endif
