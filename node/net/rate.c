#include "node/net/rate.h"

#include <stdlib.h>

enum { SWEEP_FROM = 1024 }; /* buckets, after which full ones are looked for */

struct bucket {
    struct map_node node;
    double tokens;
    uint64_t at_ms;
    unsigned char ip[16];
};

void rate_init(struct rate *rate, double per_second, double burst)
{
    map_init(&rate->buckets);
    rate->per_second = per_second;
    rate->burst = burst;
}

static void forget(struct rate *rate, struct bucket *bucket)
{
    map_remove(&rate->buckets, &bucket->node);
    free(bucket);
}

void rate_deinit(struct rate *rate)
{
    MAP_EACH(it, &rate->buckets) {
        forget(rate, MAP_ENTRY(it, struct bucket, node));
    }
    map_deinit(&rate->buckets);
}

static void fill(const struct rate *rate, struct bucket *bucket, uint64_t now_ms)
{
    bucket->tokens += rate->per_second * (double)(now_ms - bucket->at_ms) / 1000.0;
    bucket->tokens = bucket->tokens < rate->burst ? bucket->tokens : rate->burst;
    bucket->at_ms = now_ms;
}

static void sweep(struct rate *rate, uint64_t now_ms)
{
    MAP_EACH(it, &rate->buckets) {
        struct bucket *bucket = MAP_ENTRY(it, struct bucket, node);
        fill(rate, bucket, now_ms);
        if (bucket->tokens >= rate->burst) {
            forget(rate, bucket);
        }
    }
}

static struct bucket *bucket_of(struct rate *rate, const struct address *peer, uint64_t now_ms)
{
    struct map_node *node = map_find(&rate->buckets, span_of(peer->ip, sizeof peer->ip));
    if (node != NULL) {
        return MAP_ENTRY(node, struct bucket, node);
    }
    /* Each doubling of the table pays for one look at all of it. */
    if (rate->buckets.count >= SWEEP_FROM &&
        (rate->buckets.count & (rate->buckets.count - 1)) == 0) {
        sweep(rate, now_ms);
    }
    struct bucket *bucket = mem_zalloc(sizeof *bucket);
    bucket->tokens = rate->burst;
    bucket->at_ms = now_ms;
    memcpy(bucket->ip, peer->ip, sizeof bucket->ip);
    map_insert(&rate->buckets, &bucket->node, span_of(bucket->ip, sizeof bucket->ip));
    return bucket;
}

bool rate_take(struct rate *rate, const struct address *peer, double tokens, uint64_t now_ms)
{
    if (rate->per_second <= 0) {
        return true;
    }
    struct bucket *bucket = bucket_of(rate, peer, now_ms);
    fill(rate, bucket, now_ms);
    if (bucket->tokens < tokens && bucket->tokens < rate->burst) {
        return false;
    }
    bucket->tokens -= tokens;
    return true;
}
