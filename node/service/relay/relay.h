/* SPDX-License-Identifier: MIT */
/* relay: cross-server chat. The cluster is the host that game servers connect to over plain TCP;
 * what one of them says goes to all others of its network, on whatever node they are
 * (docs/protocols.md#relay).
 *
 *     client.c: one connection --handshake--> network.c: claimed in the directory, a roster --> admitted
 *     a packet --> room here, and over the bus to the rooms of other nodes --> paced.c --> each server
 *
 * Each server is told of all others before it hears them. What waits for one that reads slowly is
 * bounded, and then it is closed; no other waits for it. */
#ifndef MUSTER_NODE_SERVICE_RELAY_RELAY_H
#define MUSTER_NODE_SERVICE_RELAY_RELAY_H

#include "node/core/metrics.h"
#include "node/net/net.h"
#include "node/proto/http/http.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct relay;

/* All pointers are borrowed. */
struct relay_options {
    struct net *net;
    struct store *store;
    struct metrics *metrics;
    const char *node;   /* this node's name */
    const char *listen; /* "[network=]host:port,..."; entries of one name are one network */
    const char *name, *color, *prefix; /* the host, as game servers see it */
    const char *secret;       /* asked for in handshakes; "": none; borrowed, and may change */
    const char *status_token; /* of GET /api/relay; "": not served */
    const char *upstream;     /* old hosts that are bridged: "[network=]host:port,..." */
    const char *unpaced;      /* networks whose servers need no pacing, with commas */
    bool pacing;
    bool proxy;                      /* connections from `trusted` begin with a PROXY header */
    const struct cidr_list *trusted; /* NULL: not known yet, as in relay_check */
    const char *trusted_text;        /* that it was read from */
    uint32_t gap_ms;
    size_t queue_limit;  /* bytes that wait for one game server */
    size_t packet_limit; /* bytes */
    uint32_t rate;       /* packets a second of one game server; 0: no limit */
    uint32_t joins;      /* a second in a network on this node; 0: no limit */
    uint32_t timeout_ms; /* for a handshake, and for its answer */
};

/* The network that an entry without a name belongs to. */
#define RELAY_DEFAULT_NETWORK "default"

/* Are `listen` and `color` good, and where `proxy` is on, does `trusted_text` name somebody? 0, or -1 with a message that begins with the setting's name. */
int relay_check(const struct relay_options *options, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* New, with its route put into `server`; or NULL with the message of relay_check in `error`. */
struct relay *relay_new(struct http_server *server, const struct relay_options *options,
                        char *error, size_t error_size) __attribute__((warn_unused_result));

/* Appends, for the fleet's page, the networks and what is connected here of each:
 * {"rows":[{"name":"default","addresses":["0.0.0.0:1337"],"servers":[{"name":"Alpha","players":3}],
 * "more":0}],"more":0}. Names are cut; the secret is not in it. */
void relay_describe(struct relay *relay, struct buf *out);

/* Game servers may come from now on. 0, or -1 with a message in `error`. */
int relay_listen(struct relay *relay, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Accepts no new game servers from now on; connections that already wait are taken. */
void relay_drain(struct relay *relay);

/* Frees; connections must be gone (net_free first). */
void relay_free(struct relay **relay);

#endif
