/* SPDX-License-Identifier: MIT */
/* logs live: the listeners at /logs/listen.
 *
 *     stream --one tail for the node, while any listen--> groups by room --> listeners
 *
 * The tail keeps its position through a lost link, so nothing is missed; what was trimmed
 * meanwhile, and what a slow listener had no room for, is skipped and counted, and the listener is
 * told how many. */
#ifndef MUSTER_NODE_SERVICE_LOGS_LIVE_H
#define MUSTER_NODE_SERVICE_LOGS_LIVE_H

#include "node/core/metrics.h"
#include "node/net/net.h"
#include "node/proto/http/http.h"
#include "store/store.h"

struct logs_live;

struct logs_live_options {
    struct net *net; /* all borrowed */
    struct store *store;
    struct metrics *metrics;
    unsigned lanes;
    size_t queue_limit; /* bytes: of what a listener's queue may hold */
};

struct logs_live *logs_live_new(const struct logs_live_options *options);

/* The listeners are gone (net_free came first). */
void logs_live_free(struct logs_live **live);

/* What a listener asks for. */
struct logs_wish {
    struct span room; /* empty: all rooms; borrowed */
    size_t backlog;   /* how many entries from before come first */
    bool own;         /* it may hear the nodes' own lines */
    bool beats; /* its text `ping` is answered with an array of no entries; else with nothing */
};

/* Takes over a handshake that may listen: answers it once the tail follows, so that whatever is
 * added after the answer arrives. */
void logs_live_join(struct logs_live *live, struct http_request *request,
                    const struct logs_wish *wish);

#endif
