/* SPDX-License-Identifier: MIT */
/* sink patience: how long the sink has waited for PostgreSQL to do what it asked. Queries that
 * another server could answer without storing anything do not count. */
#ifndef MUSTER_STORE_SINK_PATIENCE_H
#define MUSTER_STORE_SINK_PATIENCE_H

#include "store/sink/impl.h"

/* The lane waits for PostgreSQL from now on, if it does not yet. */
void sink_lane_await(struct sink_lane *lane);

/* Sends a query about what the lane stores; its `fn` gets the lane, and tells sink_lane_hear. */
void sink_lane_query(struct sink_lane *lane, const char *sql, const struct span *copy,
                     size_t pieces, postgres_fn *fn);
void sink_lane_hear(struct sink_lane *lane, const struct postgres_answer *answer);

/* The same over the care session, with a query that writes. */
void sink_care_query(struct sink *sink, const char *sql, postgres_fn *fn);
void sink_care_hear(struct sink *sink, const struct postgres_answer *answer);

/* The longest wait that goes on, in milliseconds. */
uint64_t sink_waits_ms(const struct sink *sink);

#endif
