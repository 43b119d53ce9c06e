/* SPDX-License-Identifier: MIT */
#include "store/sink/patience.h"

#include "store/base/clock.h"

static void begin(uint64_t *since_ms)
{
    *since_ms = *since_ms != 0 ? *since_ms : clock_monotonic_ms();
}

/* Who lost its session waits on. */
static void hear(uint64_t *since_ms, const struct postgres_answer *answer)
{
    *since_ms = answer->end == POSTGRES_LOST ? *since_ms : 0;
}

void sink_lane_await(struct sink_lane *lane)
{
    begin(&lane->waits_since_ms);
}

void sink_lane_query(struct sink_lane *lane, const char *sql, const struct span *copy,
                     size_t pieces, postgres_fn *fn)
{
    begin(&lane->waits_since_ms);
    postgres_query(lane->pg, sql, copy, pieces, fn, lane);
}

void sink_lane_hear(struct sink_lane *lane, const struct postgres_answer *answer)
{
    hear(&lane->waits_since_ms, answer);
}

void sink_care_query(struct sink *sink, const char *sql, postgres_fn *fn)
{
    begin(&sink->care_waits_since_ms);
    postgres_query(sink->care, sql, NULL, 0, fn, sink);
}

void sink_care_hear(struct sink *sink, const struct postgres_answer *answer)
{
    hear(&sink->care_waits_since_ms, answer);
}

static void note(uint64_t since_ms, uint64_t *oldest_ms)
{
    *oldest_ms = since_ms != 0 && since_ms < *oldest_ms ? since_ms : *oldest_ms;
}

/* A batch, too: not its entries, which may be old because no sink stored them before. */
uint64_t sink_waits_ms(const struct sink *sink)
{
    uint64_t now = clock_monotonic_ms(), oldest = now;
    note(sink->care_waits_since_ms, &oldest);
    for (unsigned i = 0; i < sink->count; i++) {
        const struct sink_lane *lane = sink->lanes[i];
        note(lane->waits_since_ms, &oldest);
        note(lane->flying->count > 0 ? lane->flying->since_ms : 0, &oldest);
    }
    return now - oldest;
}
