/* SPDX-License-Identifier: MIT */
/* relay_upstream: a bridge to an old host of the cross-server chat, so that game servers move one by one.
 *
 *     old host <--- a link for each of our servers, and one for our host ---- bridge
 *     our network <--- a link for each of its servers, and one for its host ---- bridge
 *
 * Each link is a client as any other: it shakes hands with the look of the server that it stands for, and
 * says what that server says. The two links of the hosts hear for the bridge. When one of these two is
 * lost all go, and after a while it begins again. One node of the fleet has it, not several. */
#ifndef MUSTER_NODE_SERVICE_RELAY_UPSTREAM_H
#define MUSTER_NODE_SERVICE_RELAY_UPSTREAM_H

#include "node/service/relay/client.h"

struct relay_upstream;

/* Is `text` "[network=]host:port,..."? 0, or -1 with a message that begins with the setting's name. */
int relay_upstream_check(const char *text, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* The network and the address of the entry at the front of *rest, which is cut off; false: none. */
struct relay_upstream_entry {
    struct span network; /* empty: none was named */
    char host[256];
    uint16_t port;
};
bool relay_upstream_next(struct span *rest, struct relay_upstream_entry *entry);

/* New; it connects by itself. `terms` and `network` are borrowed until relay_upstream_free. */
struct relay_upstream *relay_upstream_new(struct relay_terms *terms, struct relay_network *network,
                                          const struct relay_upstream_entry *entry)
    __attribute__((returns_nonnull, warn_unused_result));

/* Ends its links, for good. */
void relay_upstream_stop(struct relay_upstream *upstream);

/* After net_free. NULL inside is fine. */
void relay_upstream_free(struct relay_upstream **upstream);

#endif
