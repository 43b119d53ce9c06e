/* SPDX-License-Identifier: MIT */
/* bare_pair: a publisher and a subscriber on Redis and nothing between: the least that a push
 * through Redis can take. */
#ifndef MUSTER_BENCH_LOAD_BARE_PAIR_H
#define MUSTER_BENCH_LOAD_BARE_PAIR_H

#include "store/base/buf.h"
#include "tests/bench/load/loop.h"
#include "tests/bench/load/message.h"
#include "tests/bench/load/samples.h"

#include <netinet/in.h>

enum {
    BARE_RING = 4096 /* publishes on their way at most */
};

struct bare_pair {
    struct handler publisher, subscriber;
    struct message message;
    struct buf in; /* what the subscriber has half-read */
    bool subscribed, recording;
    uint32_t published, received;
    uint64_t published_at[BARE_RING];
    struct samples samples; /* from publish to receipt, while recording */
};

/* Connects both and returns when the subscription stands. Payloads are `size` bytes. */
void bare_pair_open(struct bare_pair *pair, struct loop *loop, const struct sockaddr_in *redis,
                    size_t size);

void bare_pair_publish(struct bare_pair *pair);

#endif
