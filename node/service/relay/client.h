/* SPDX-License-Identifier: MIT */
/* relay_client: one game server's connection.
 *
 *     [HEADER --PROXY header-->] NEW --handshake--> WAITING --admitted--> JOINED
 *
 * All of them end in OVER: nothing is said to it any more, and what it says is read and dropped, so
 * that it sees an orderly end and not a reset, which kills the plugin in use. LEAVING comes before
 * that when the node ends: what waits for it is told first.
 *
 * While it waits it is not read, so that what it says next cannot come before its admission. */
#ifndef MUSTER_NODE_SERVICE_RELAY_CLIENT_H
#define MUSTER_NODE_SERVICE_RELAY_CLIENT_H

#include "node/net/cidr.h"
#include "node/net/conn.h"
#include "node/service/relay/network.h"
#include "node/service/relay/paced.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What all clients share; borrowed for their life. They count in it. */
struct relay_terms {
    struct net *net;
    struct metrics *metrics;
    struct relay_pacer *pacer;
    struct span host_look;
    const char *secret;              /* "": none is asked for; may change */
    const struct cidr_list *proxies; /* connections from there begin with a PROXY header */
    const char *unpaced; /* names of networks whose servers all take a stream, with commas */
    size_t packet_limit; /* bytes */
    uint32_t rate;       /* packets a second; 0: no limit */
    uint32_t timeout_ms;
    uint32_t turned_away; /* connections refused at once that are taking leave */
};

/* Serves a connection that was accepted; `fd` is stolen. */
void relay_client_accept(struct relay_terms *terms, struct relay_network *network, int fd,
                         const struct address *peer);

#endif
