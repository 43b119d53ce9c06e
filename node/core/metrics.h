/* SPDX-License-Identifier: MIT */
/* metrics: counters, gauges and histograms of the process, from one table (metrics_table.h), as
 * Prometheus text.
 *
 * A gauge that says how many there are of something is counted when it is asked for, by the one that
 * has them (metrics_source): a count kept beside them may drift. */
#ifndef MUSTER_NODE_CORE_METRICS_H
#define MUSTER_NODE_CORE_METRICS_H

#include "node/core/metrics_table.h"
#include "store/base/buf.h"

#include <stdint.h>

enum metric_id {
#define METRIC(id, type, name, labels, help) METRIC_##id,
    METRICS_TABLE(METRIC)
#undef METRIC
        METRIC_COUNT
};

enum histogram_id {
#define HISTOGRAM(id, name, help) HISTOGRAM_##id,
    HISTOGRAMS_TABLE(HISTOGRAM)
#undef HISTOGRAM
        HISTOGRAM_COUNT
};

enum { HISTOGRAM_BUCKETS = 14 }; /* from 100 us to 10 s */

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS]; /* observations up to each bound, not cumulative */
    uint64_t count;
    double sum; /* seconds */
};

struct metrics;

/* Sets gauges from what its owner has; its members belong to metrics_source_add. */
struct metrics_source {
    struct metrics_source *next;
    void (*fill)(void *arg, struct metrics *metrics);
    void *arg;
};

/* All zero at the start; written only through the calls below. */
struct metrics {
    uint64_t value[METRIC_COUNT];
    struct histogram histogram[HISTOGRAM_COUNT];
    struct metrics_source *sources;
};

static inline void metrics_add(struct metrics *metrics, enum metric_id id, uint64_t by)
{
    metrics->value[id] += by;
}

static inline void metrics_sub(struct metrics *metrics, enum metric_id id, uint64_t by)
{
    metrics->value[id] -= by;
}

static inline void metrics_set(struct metrics *metrics, enum metric_id id, uint64_t value)
{
    metrics->value[id] = value;
}

/* `source` is borrowed until it is removed. */
void metrics_source_add(struct metrics *metrics, struct metrics_source *source,
                        void (*fill)(void *arg, struct metrics *metrics), void *arg);
void metrics_source_remove(struct metrics *metrics, struct metrics_source *source);

/* Has all sources set their gauges: before these are looked at. */
void metrics_count(struct metrics *metrics);

void metrics_observe(struct metrics *metrics, enum histogram_id id, double seconds);

/* Appends everything in the Prometheus text format, version 0.0.4. */
void metrics_print(const struct metrics *metrics, struct buf *out);

/* Appends everything as the members of a JSON object, without its braces: "muster_connections":3,
 * ... of a histogram its _count and _sum. */
void metrics_print_json(const struct metrics *metrics, struct buf *out);

#endif
