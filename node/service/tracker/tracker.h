/* SPDX-License-Identifier: MIT */
/* tracker: tells peers on the Internet where the others are, over UDP (docs/protocols.md#tracker). Any node
 * answers for any peer: what is known of a peer is in the store, and goes with its time. It may be asked
 * at several addresses, each in one of two dialects; they share all that is known.
 *
 *     datagram --tracker.c: rate, message.c--> call --flow.c: look-ups in the store--> answers
 *
 * Nothing waits: a datagram over the rate is dropped and counted, a call that the store does not answer
 * ends with an error. Redis is the truth; a node remembers no peer. */
#ifndef MUSTER_NODE_SERVICE_TRACKER_TRACKER_H
#define MUSTER_NODE_SERVICE_TRACKER_TRACKER_H

#include "node/net/net.h"
#include "node/service/tracker/message.h"
#include "store/store.h"

struct tracker;

struct tracker_options {
    struct net *net;              /* borrowed */
    struct store *store;          /* borrowed */
    const char *node;             /* this node's name in the fleet, borrowed */
    const char *listen;           /* "[dialect=]host:port,...": see udp_open */
    enum tracker_dialect dialect; /* of entries that name none */
    const char *forward;  /* "host:port" of an older tracker that is asked for unknown share ids;
                                     empty: none */
    uint32_t expiry_ms;   /* a peer that is silent for so long is forgotten */
    uint32_t grace_ms;    /* for so long after that it may come back to its share id; 0: never */
    uint32_t rate, burst; /* datagrams from one source, see limit_table_new */
};

/* Are `listen` and `forward` good? 0, or -1 with a message that begins with the setting's name. */
int tracker_check(const struct tracker_options *options, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* New, receiving; NULL with a message in `error`. */
struct tracker *tracker_new(const struct tracker_options *options, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Stops receiving and frees; to be called before the net goes. Requests still open get no answer;
 * the store must be closed before the loop turns again. NULL inside is fine. */
void tracker_free(struct tracker **tracker);

#endif
