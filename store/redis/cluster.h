/* SPDX-License-Identifier: MIT */
/* redis cluster: the servers of a Redis Cluster or Valkey Cluster, a link to each master that has a
 * partition, and which of them that is (docs/store.md#redis-cluster).
 *
 *     scout --map--> owners of partitions --> links made, links freed
 *                        ^
 *     MOVED, sunsubscribe, a link that falls, a minute gone
 *
 * A partition whose owner changes goes down and comes up again for the store, as a server does. */
#ifndef MUSTER_STORE_REDIS_CLUSTER_H
#define MUSTER_STORE_REDIS_CLUSTER_H

#include "store/redis/link.h"

struct redis_cluster;

/* New; its map is asked for from the next turn on, for ever. `server` has the places of the URL. All is
 * borrowed for its life. */
struct redis_cluster *redis_cluster_new(struct store *store, const struct redis_server *server,
                                        const struct redis_tls_files *files,
                                        struct resolver *resolver)
    __attribute__((returns_nonnull, warn_unused_result));

void redis_cluster_free(struct redis_cluster **cluster);

/* The link to the server that has the partition, as far as is known; NULL: none. */
struct redis_link *redis_cluster_link(const struct redis_cluster *cluster, unsigned partition);

/* The link to that place, made where there is none, for a partition that goes there: borrowed until
 * the next turn. */
struct redis_link *redis_cluster_link_at(struct redis_cluster *cluster,
                                         const struct redis_endpoint *at);

/* "host:port" of the server that has the partition, or what stands for none; borrowed until the map
 * changes. */
const char *redis_cluster_name(const struct redis_cluster *cluster, unsigned partition);

/* The host of that server: what an answer without one means. NULL: none. */
const char *redis_cluster_host(const struct redis_cluster *cluster, unsigned partition);

/* The logins of the URL have changed. */
void redis_cluster_login(struct redis_cluster *cluster);

/* Takes this node off all rolls. */
void redis_cluster_leave(struct redis_cluster *cluster);

/* Appends a line for each server: "host:port: slots 0-5460, 1 replica", and one for what is missing. */
void redis_cluster_print(const struct redis_cluster *cluster, struct buf *out);

/* The partition whose table of leases, and roll, counts for `partition`. */
uint8_t redis_cluster_leases(unsigned partition);

/* Calls that wait to be sent again (route.c). */
struct list *redis_cluster_calls(struct redis_cluster *cluster);

#endif
