/* SPDX-License-Identifier: MIT */
/* sink patience: how long PostgreSQL has been asked in vain to do something that stores. */
#ifndef MUSTER_STORE_SINK_PATIENCE_H
#define MUSTER_STORE_SINK_PATIENCE_H

#include "store/base/clock.h"
#include "store/postgres/postgres.h"

struct sink_patience {
    uint64_t since_ms; /* monotonic; 0: nothing is asked */
};

/* Something is wanted of PostgreSQL: it waits from now on, if it does not yet. */
static inline void sink_await(struct sink_patience *patience)
{
    patience->since_ms = patience->since_ms != 0 ? patience->since_ms : clock_monotonic_ms();
}

/* An answer is here; after a lost session the wait goes on. */
static inline void sink_hear(struct sink_patience *patience, const struct postgres_answer *answer)
{
    patience->since_ms = answer->end == POSTGRES_LOST ? patience->since_ms : 0;
}

/* The earlier one of the two begins, the second of which may be none. */
static inline uint64_t sink_earlier(uint64_t a_ms, uint64_t b_ms)
{
    return b_ms != 0 && b_ms < a_ms ? b_ms : a_ms;
}

#endif
