/* SPDX-License-Identifier: MIT */
/* map: byte-string keys to nodes kept inside the objects themselves. Keys are hashed with SipHash
 * under a random seed of the map's own, so that peers that choose keys cannot choose collisions. A large
 * map grows in steps: no insert takes long. */
#ifndef MUSTER_STORE_BASE_MAP_H
#define MUSTER_STORE_BASE_MAP_H

#include "store/base/mem.h"
#include "store/base/span.h"

#include <stdint.h>

struct map_node {
    struct map_node *next;
    const char
        *key; /* borrowed from the object around the node; stays put while it is in the map */
    uint32_t key_len;
    uint32_t hash;
};

struct map {
    struct map_node **buckets; /* NULL while the map was never used */
    uint32_t mask;             /* buckets - 1; a power of two less one */
    uint32_t count;            /* nodes */
    uint64_t seed[2];
};

/* An empty map; takes no memory before the first insert. */
void map_init(struct map *map);

/* Frees the table, not the nodes. */
void map_deinit(struct map *map);

/* The node with that key, borrowed, or NULL. */
struct map_node *map_find(const struct map *map, struct span key);

/* Puts `node` in under `key`, which must not be there yet and must live in the node's object. */
void map_insert(struct map *map, struct map_node *node, struct span key);

/* Takes `node`, which must be in the map, out. */
void map_remove(struct map *map, struct map_node *node);

/* Walks all nodes: start with NULL, ends with NULL. The node before may have been removed already
 * (pass the one you got; fetch the next before you remove it) but nothing may be inserted. */
struct map_node *map_next(const struct map *map, const struct map_node *node);

typedef void map_visit_fn(void *arg, struct map_node *node);

/* A walk in steps, between which the map may change: begin with cursor 0, go on with what is returned;
 * 0: it is done. Each step visits some nodes, one on average. Those that are there all the time are
 * visited, once or more often; `fn` may change nothing of the map. */
uint32_t map_scan(const struct map *map, uint32_t cursor, map_visit_fn *fn, void *arg)
    __attribute__((warn_unused_result));

/* Buckets whose nodes a table that grew has still to take over. */
uint32_t map_unmoved(const struct map *map);

static inline struct span map_key(const struct map_node *node)
{
    return span_of(node->key, node->key_len);
}

#define MAP_ENTRY(nodeptr, type, member) CONTAINER_OF(nodeptr, type, member)

/* Walks the map; the current node may be removed and freed meanwhile, no other may. */
#define MAP_EACH(it, map)                                                                          \
    for (struct map_node *it = map_next(map, NULL),                                                \
                         *it##_next = it != NULL ? map_next(map, it) : NULL;                       \
         it != NULL; it = it##_next, it##_next = it != NULL ? map_next(map, it) : NULL)

/* SipHash-2-4 (Aumasson, Bernstein 2012) of `s` under a 128-bit key. */
uint64_t map_siphash(const uint64_t key[2], struct span s);

#endif
