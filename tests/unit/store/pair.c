/* SPDX-License-Identifier: MIT */
#include "pair.h"

int pair_start(void **state)
{
    lab_pair(state);
    return lab_setup(state);
}

int pair_start_with_replicas(void **state)
{
    pair_start(state);
    lab.replicas = 1;
    return 0;
}

int pair_end(void **state)
{
    lab_teardown(state);
    return lab_end(state);
}

void pair_stop_following(void)
{
    redis_wait_follows(replica, master);
    freeReplyObject(redis_ask(replica, "REPLICAOF 127.0.0.1 1"));
}

bool pair_lags(enum fail_over kind)
{
    return kind == LAGGING_PLANNED || kind == LAGGING_FORCED;
}

void pair_fail_over(enum fail_over kind)
{
    if (kind == FORCED || kind == LAGGING_FORCED) {
        redis_kill(master);
    } else {
        redis_fail_over(&lab.sentinel);
    }
    lab_promoted();
}
