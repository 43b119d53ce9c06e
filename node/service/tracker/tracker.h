/* SPDX-License-Identifier: MIT */
/* tracker: tells peers on the Internet where the others are, over UDP (docs/protocols.md#tracker). Any node
 * answers for any peer: what is known of a peer is in the store, and goes with its time. */
#ifndef MUSTER_NODE_SERVICE_TRACKER_TRACKER_H
#define MUSTER_NODE_SERVICE_TRACKER_TRACKER_H

#include "node/net/net.h"
#include "node/service/tracker/message.h"
#include "store/store.h"

struct tracker;

struct tracker_options {
    struct net *net;     /* borrowed */
    struct store *store; /* borrowed */
    const char *node;    /* this node's name in the fleet, borrowed */
    const char *bind;    /* see udp_open */
    enum tracker_dialect dialect;
    uint32_t expiry_ms;   /* a peer that is silent for so long is forgotten */
    uint32_t rate, burst; /* datagrams from one source, see limit_table_new */
};

/* New, receiving; NULL with a message in `error`. */
struct tracker *tracker_new(const struct tracker_options *options, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Where it receives, with the real port. */
const struct address *tracker_address(const struct tracker *tracker);

/* Stops receiving and frees; to be called before the net goes. Requests still open get no answer;
 * the store must be closed before the loop turns again. NULL inside is fine. */
void tracker_free(struct tracker **tracker);

#endif
