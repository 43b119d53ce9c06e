/* SPDX-License-Identifier: MIT */
/* shard set: some of a store's shards, for what happens to several of them at once. */
#ifndef MUSTER_STORE_SHARD_SET_H
#define MUSTER_STORE_SHARD_SET_H

#include <stdbool.h>
#include <stdint.h>

enum { SHARD_SET_MOST = 256 }; /* shards of a store */

struct shard_set {
    uint64_t bits[SHARD_SET_MOST / 64];
};

static inline bool shard_set_has(const struct shard_set *set, unsigned shard)
{
    return (set->bits[shard / 64] >> shard % 64 & 1) != 0;
}

static inline void shard_set_add(struct shard_set *set, unsigned shard)
{
    set->bits[shard / 64] |= UINT64_C(1) << shard % 64;
}

static inline struct shard_set shard_set_one(unsigned shard)
{
    struct shard_set set = {{0}};
    shard_set_add(&set, shard);
    return set;
}

static inline bool shard_set_is_empty(const struct shard_set *set)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < SHARD_SET_MOST / 64; i++) {
        any |= set->bits[i];
    }
    return any == 0;
}

#endif
