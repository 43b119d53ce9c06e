/* SPDX-License-Identifier: MIT */
/* roster rhythm: how often the roster beats of the roster, and this node's lease on each server. */
#ifndef MUSTER_STORE_ROSTER_RHYTHM_H
#define MUSTER_STORE_ROSTER_RHYTHM_H

#include "store/store_impl.h"

enum {
    ROSTER_BEAT_MOST_US = 1000 * 1000,
    ROSTER_LIFE_LEASES = 1200,
    ROSTER_TOUCHES_MOST = 256, /* under way at a server: what comes after waits for answers */
    ROSTER_TOUCHES_TAGGED = 8, /* the same for a partition of a cluster, whose servers have many */
};

static inline uint64_t roster_lease_us(const struct store *store)
{
    return (uint64_t)store->lease_ms * 1000U;
}

/* The rhythm of the roster. A lease ends at the server TTL after the last beat, and each other node
 * hears so with its own next one: TTL + BEAT stays below what the settings call a lease. */
static inline uint64_t roster_beat_us(const struct store *store)
{
    uint64_t part = roster_lease_us(store) * 30 / 100;
    return part < ROSTER_BEAT_MOST_US ? part : ROSTER_BEAT_MOST_US;
}

static inline uint64_t roster_ttl_us(const struct store *store)
{
    return roster_lease_us(store) * 95 / 100 - roster_beat_us(store);
}

/* A key that no node refreshes vanishes after that: it is long, since what decides who lives is the
 * lease. */
static inline uint64_t roster_life_us(const struct store *store)
{
    return roster_lease_us(store) * ROSTER_LIFE_LEASES;
}

static inline uint64_t roster_refresh_us(const struct store *store)
{
    return roster_life_us(store) / 3;
}

/* The shard whose leases count for `shard`, and what it is now. */
static inline struct shard *roster_leases(const struct store *store, unsigned shard)
{
    return &store->shards[store->backend->lease_at[shard]];
}

/* May claims be made? This node's lease surely lives, and who else lives is known. */
bool roster_is_leased(const struct store *store, unsigned shard);

/* Would it be heard who comes back? The lease surely lives, and the link is proved. */
bool roster_hears(const struct store *store, unsigned shard);

/* Beats where one is due; at once where this node has no lease that it is sure of. */
void roster_beat_all(struct store *store);
void roster_beat(struct store *store, unsigned shard);

/* As store_on_pulse. */
void roster_pulse(struct store *store, unsigned shard);

/* Views hear who has died when a grace is over. */
void roster_end_grace(struct store *store, uint64_t now_us);

static inline unsigned roster_touches_most(const struct store *store)
{
    return store->backend->tagged ? ROSTER_TOUCHES_TAGGED : ROSTER_TOUCHES_MOST;
}

/* Has keys that waited touch, as many as may: at the end of a turn. */
void roster_flush(struct store *store);

#endif
