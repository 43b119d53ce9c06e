/* rate: how much each address may do per second: a bucket of tokens per IP (RFC 2697's idea with
 * one rate and one burst). Buckets that are full again are forgotten, so memory follows the
 * addresses that are busy now. */
#ifndef MUSTER_NODE_NET_RATE_H
#define MUSTER_NODE_NET_RATE_H

#include "node/net/address.h"
#include "store/base/map.h"

#include <stdbool.h>
#include <stdint.h>

struct rate {
    struct map buckets; /* by IP */
    double per_second;  /* 0: no limit */
    double burst;
};

void rate_init(struct rate *rate, double per_second, double burst);
void rate_deinit(struct rate *rate);

/* Takes `tokens` for `peer`; false when it has none left at `now_ms` (any clock that never goes
 * back). More than the burst may be taken at once from a full bucket, which is then in debt. */
bool rate_take(struct rate *rate, const struct address *peer, double tokens, uint64_t now_ms);

#endif
