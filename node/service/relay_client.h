/* relay_client: one game server's connection.
 *
 *     [HEADER --PROXY header-->] NEW --handshake--> WAITING --admitted--> JOINED
 *
 * While it waits it is not read, so that what it says next cannot come before its admission. */
#ifndef MUSTER_NODE_SERVICE_RELAY_CLIENT_H
#define MUSTER_NODE_SERVICE_RELAY_CLIENT_H

#include "node/fanout/paced.h"
#include "node/net/conn.h"
#include "node/service/relay_network.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What all clients share; borrowed for their life. */
struct relay_terms {
    struct net *net;
    struct metrics *metrics;
    struct pacer *pacer;
    struct span host_look;
    struct span secret;  /* empty: none is asked for */
    bool proxy;          /* connections begin with a PROXY header */
    size_t packet_limit; /* bytes */
    uint32_t rate;       /* packets a second; 0: no limit */
    uint32_t timeout_ms;
};

/* Serves a connection that was accepted; `fd` is stolen. */
void relay_client_accept(const struct relay_terms *terms, struct relay_network *network, int fd,
                         const struct address *peer);

/* relay_network's admitted, listed and displaced. */
void relay_client_admitted(struct relay_seat *seat);
void relay_client_listed(struct relay_seat *seat, bool listed);
void relay_client_displaced(struct relay_seat *seat);

#endif
