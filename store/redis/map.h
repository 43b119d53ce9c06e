/* SPDX-License-Identifier: MIT */
/* redis map: which server of a cluster has which partition, as one of its servers says: the answer to
 * CLUSTER SHARDS (Redis 7), or CLUSTER SLOTS. No I/O. */
#ifndef MUSTER_STORE_REDIS_MAP_H
#define MUSTER_STORE_REDIS_MAP_H

#include "store/partition.h"
#include "store/redis/url.h"

#include <hiredis/hiredis.h>

/* A master with slots. */
struct redis_map_server {
    struct redis_endpoint at; /* owned */
    unsigned slots, replicas; /* replicas that are healthy */
};

struct redis_map {
    struct redis_map_server *servers;
    size_t count;
    int owner[PARTITIONS];            /* place in `servers`; -1: nobody has the slot */
    unsigned slots;                   /* that a server has */
    uint8_t given[CLUSTER_SLOTS / 8]; /* a bit for each of them */
};

/* Reads either answer. `asked` is the host that gave it, meant where it names none; `tls`: its ports
 * for TLS are wanted. 0, or -1 when it is none, or gives a slot
 * twice, and nothing is to be freed. */
int redis_map_read(struct redis_map *map, const redisReply *reply, const char *asked, bool tls)
    __attribute__((warn_unused_result));

void redis_map_free(struct redis_map *map);

#endif
