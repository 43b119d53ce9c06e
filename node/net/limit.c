/* SPDX-License-Identifier: MIT */
#include "node/net/limit.h"

#include "store/base/entropy.h"
#include "store/base/map.h"
#include "store/base/mem.h"

enum {
    WAYS = 8, /* places that a source may have */
    SETS = 8192,
    SECOND_NS = 1000000000,
};

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Between two tokens. */
static uint64_t interval_ns(uint32_t per_second)
{
    return later(SECOND_NS / per_second, 1);
}

bool limit_take(struct limit_bucket *bucket, uint32_t per_second, uint32_t burst, uint32_t tokens,
                uint64_t now_us)
{
    if (per_second == 0) {
        return true;
    }
    uint64_t now_ns = now_us * 1000;
    uint64_t depth_ns = interval_ns(per_second) * later(burst, 1);
    uint64_t cost_ns = interval_ns(per_second) * tokens;
    uint64_t needed_ns = cost_ns < depth_ns ? cost_ns : depth_ns;
    uint64_t full_ns = later(bucket->full_ns, now_ns);
    bool admitted = full_ns + needed_ns <= now_ns + depth_ns;
    bucket->full_ns = admitted ? full_ns + cost_ns : full_ns;
    return admitted;
}

uint64_t limit_charge(struct limit_bucket *bucket, uint32_t per_second, uint64_t now_us)
{
    bucket->full_ns = later(bucket->full_ns, now_us * 1000) + interval_ns(per_second);
    return bucket->full_ns / 1000 - now_us;
}

/* ------------------------------------------------------------------------------------ table */

struct limit_source {
    unsigned char ip[16];
    struct limit_bucket bucket; /* 0: the bucket is free */
};

struct limit_table {
    uint32_t per_second, burst;
    uint64_t seed[2];
    struct limit_source (*sets)[WAYS]; /* NULL: no limit */
};

struct limit_table *limit_table_new(uint32_t per_second, uint32_t burst)
{
    struct limit_table *table = mem_zalloc(sizeof(*table));
    table->per_second = per_second;
    table->burst = burst;
    entropy(table->seed, sizeof(table->seed));
    if (per_second > 0) {
        table->sets = mem_zalloc(SETS * sizeof(*table->sets));
    }
    return table;
}

void limit_table_free(struct limit_table **table)
{
    if (*table != NULL) {
        free((*table)->sets);
        free(*table);
        *table = NULL;
    }
}

/* The bucket of `ip`; where it has none yet, the fullest of those it may have. */
static struct limit_bucket *bucket_of(struct limit_table *table, const unsigned char ip[16])
{
    struct limit_source *set = table->sets[map_siphash(table->seed, span_of(ip, 16)) % SETS];
    struct limit_source *fullest = &set[0];
    for (int i = 0; i < WAYS; i++) {
        if (set[i].bucket.full_ns != 0 && memcmp(set[i].ip, ip, 16) == 0) {
            return &set[i].bucket;
        }
        fullest = set[i].bucket.full_ns < fullest->bucket.full_ns ? &set[i] : fullest;
    }
    memcpy(fullest->ip, ip, 16);
    fullest->bucket.full_ns = 0;
    return &fullest->bucket;
}

bool limit_table_take(struct limit_table *table, const struct address *peer, uint32_t tokens,
                      uint64_t now_us)
{
    if (table->sets == NULL) {
        return true;
    }
    struct address_source source = address_source(peer);
    return limit_take(bucket_of(table, source.ip), table->per_second, table->burst, tokens, now_us);
}
