/* SPDX-License-Identifier: MIT */
/* tracker peers: how many different addresses were served lately, without keeping any of them: a
 * HyperLogLog (Flajolet and others, 2007) for each slice of time. The count is of the last
 * `window`, up to an eighth longer, and within some 2 % of the truth; below a hundred it is mostly
 * exact. */
#ifndef MUSTER_NODE_SERVICE_TRACKER_PEERS_H
#define MUSTER_NODE_SERVICE_TRACKER_PEERS_H

#include "node/net/address.h"

#include <stdint.h>

struct tracker_peers;

struct tracker_peers *tracker_peers_new(uint64_t window_ms)
    __attribute__((returns_nonnull, warn_unused_result));
void tracker_peers_free(struct tracker_peers **peers);

/* `now_ms` is of a clock that never jumps, here and below. */
void tracker_peers_saw(struct tracker_peers *peers, const struct address *peer, uint64_t now_ms);

uint64_t tracker_peers_count(struct tracker_peers *peers, uint64_t now_ms);

#endif
