/* limits: what the connections of one loop may take in all. */
#ifndef MUSTER_NODE_NET_LIMITS_H
#define MUSTER_NODE_NET_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_limits {
    size_t queue;         /* outbound bytes per connection */
    uint32_t connections; /* connections in all */
    uint32_t per_address; /* connections from one IP; 0: no limit */
    bool share_ports;     /* sockets that listen let others of this user listen there too */
};

#endif
