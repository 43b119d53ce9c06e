/* SPDX-License-Identifier: MIT */
#include "store/redis/pace.h"

#include "store/roster/rhythm.h"
#include "store/store_impl.h"

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MOST_MS = 5000,
    BEAT_LEAST_MS = 100,
    PROOF_BEATS = 2,
    PROOF_LEAST_MS = 1000,
    CONNECT_LEAST_MS = 3000,
    CONNECT_MOST_MS = 5000,
    FIND_MOST_MS = 1000, /* to connect, where sentinels may name another server meanwhile */
};

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

uint64_t redis_pace_beat_ms(const struct store *store)
{
    return clamp(roster_beat_us(store) / 1000, BEAT_LEAST_MS, UINT64_MAX);
}

uint64_t redis_pace_late_us(const struct store *store)
{
    return redis_pace_beat_ms(store) * 1000 * 5 / 3;
}

uint64_t redis_pace_proof_us(const struct store *store)
{
    return clamp(redis_pace_beat_ms(store) * PROOF_BEATS, PROOF_LEAST_MS, UINT64_MAX) * 1000;
}

uint64_t redis_pace_connect_ms(const struct store *store, const struct redis_server *server)
{
    uint64_t lease = store->lease_ms;
    return server->master != NULL ? clamp(lease / 8, FIND_MOST_MS / 4, FIND_MOST_MS)
                                  : clamp(lease / 2, CONNECT_LEAST_MS, CONNECT_MOST_MS);
}

struct backoff redis_pace_backoff(const struct store *store, const struct redis_server *server)
{
    uint64_t part = server->master != NULL ? 10 : 3;
    uint64_t most = clamp(store->lease_ms / part, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
    return (struct backoff){.first_ms = BACKOFF_FIRST_MS, .most_ms = (uint32_t)most};
}
