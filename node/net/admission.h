/* SPDX-License-Identifier: MIT */
/* admission: how many connections there are, in all and from each address, and whether one more may
 * come in. */
#ifndef MUSTER_NODE_NET_ADMISSION_H
#define MUSTER_NODE_NET_ADMISSION_H

#include "node/net/address.h"
#include "node/net/cidr.h"
#include "store/base/map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ADMISSION_WATCHERS = 32, /* connections beyond the limit for clients that watch the node */
};

struct net_limits {
    size_t queue;         /* outbound bytes per connection */
    uint32_t connections; /* connections in all, and ADMISSION_WATCHERS more */
    uint32_t per_address; /* connections from one address (address_source); 0: no limit */
    bool share_ports;     /* sockets that listen let others of this user listen there too */
    const struct cidr_list *trusted; /* proxies, which come for many; borrowed; NULL: none */
};

struct admission {
    struct net_limits limits;
    struct map addresses; /* struct peer_count by source, where there is a limit */
    uint32_t count;
    bool overloaded; /* admits no client */
};

void admission_init(struct admission *admission, const struct net_limits *limits);

/* All that were counted must have gone. */
void admission_deinit(struct admission *admission);

/* The node is full: no more clients would be admitted, whatever their address. */
bool admission_is_full(const struct admission *admission);

/* May one come in who watches the node? Some do when it is full, too: else it would be taken for dead
 * and started again with everybody on it. */
bool admission_allows_watcher(const struct admission *admission);

/* May a connection from `peer` come in now? */
bool admission_allows(const struct admission *admission, const struct address *peer);

/* Has that address as many connections as it may? */
bool admission_is_crowded(const struct admission *admission, const struct address *peer);

/* A connection of `peer` came, or went. */
void admission_add(struct admission *admission, const struct address *peer);
void admission_remove(struct admission *admission, const struct address *peer);

#endif
