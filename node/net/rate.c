#include "node/net/rate.h"

#include "store/base/entropy.h"
#include "store/base/map.h"
#include "store/base/mem.h"

enum {
    WAYS = 8, /* places that a source may have */
    SETS = 8192,
    SECOND_NS = 1000000000,
};

struct bucket {
    unsigned char source[16];
    uint64_t full_ns; /* when it is full again; 0: nobody's */
};

struct rate {
    uint64_t interval_ns; /* between two tokens */
    uint64_t depth_ns;    /* from full to empty */
    uint64_t seed[2];
    struct bucket (*sets)[WAYS]; /* NULL: no limit */
};

struct rate *rate_new(uint32_t per_second, uint32_t burst)
{
    struct rate *rate = mem_zalloc(sizeof(*rate));
    entropy(rate->seed, sizeof(rate->seed));
    if (per_second > 0) {
        rate->interval_ns = SECOND_NS / per_second > 0 ? SECOND_NS / per_second : 1;
        rate->depth_ns = rate->interval_ns * (burst > 0 ? burst : 1);
        rate->sets = mem_zalloc(SETS * sizeof(*rate->sets));
    }
    return rate;
}

void rate_free(struct rate **rate)
{
    if (*rate != NULL) {
        free((*rate)->sets);
        free(*rate);
        *rate = NULL;
    }
}

/* The bucket of `source`; where it has none yet, the fullest of those it may have. */
static struct bucket *bucket_of(struct rate *rate, const unsigned char source[16])
{
    struct bucket *set = rate->sets[map_siphash(rate->seed, span_of(source, 16)) % SETS];
    struct bucket *fullest = &set[0];
    for (int i = 0; i < WAYS; i++) {
        if (set[i].full_ns != 0 && memcmp(set[i].source, source, 16) == 0) {
            return &set[i];
        }
        fullest = set[i].full_ns < fullest->full_ns ? &set[i] : fullest;
    }
    memcpy(fullest->source, source, 16);
    fullest->full_ns = 0;
    return fullest;
}

bool rate_take(struct rate *rate, const struct address *peer, uint32_t tokens, uint64_t now_us)
{
    unsigned char source[16] = {0};
    uint64_t now_ns = now_us * 1000;
    if (rate->sets == NULL) {
        return true;
    }
    memcpy(source, peer->ip, address_is_ipv4(peer) ? 16 : 8);
    struct bucket *bucket = bucket_of(rate, source);
    uint64_t full_ns = bucket->full_ns > now_ns ? bucket->full_ns : now_ns;
    uint64_t cost_ns = tokens * rate->interval_ns;
    uint64_t needed_ns = cost_ns < rate->depth_ns ? cost_ns : rate->depth_ns;
    bool admitted = full_ns + needed_ns <= now_ns + rate->depth_ns;
    bucket->full_ns = admitted ? full_ns + cost_ns : full_ns;
    return admitted;
}
