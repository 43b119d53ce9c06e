/* SPDX-License-Identifier: MIT */
#include "node/core/metrics.h"

#include <inttypes.h>
#include <string.h>

struct metrics_row {
    const char *type, *name, *labels, *help;
};

static const struct metrics_row rows[] = {
#define METRIC(id, type, name, labels, help) {#type, name, labels, help},
    METRICS_TABLE(METRIC)
#undef METRIC
};

static const struct metrics_row histogram_rows[] = {
#define HISTOGRAM(id, name, help) {"histogram", name, "", help},
    HISTOGRAMS_TABLE(HISTOGRAM)
#undef HISTOGRAM
};

static const double bounds[HISTOGRAM_BUCKETS] = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 10};

void metrics_source_add(struct metrics *metrics, struct metrics_source *source,
                        void (*fill)(void *arg, struct metrics *metrics), void *arg)
{
    *source = (struct metrics_source){metrics->sources, fill, arg};
    metrics->sources = source;
}

void metrics_source_remove(struct metrics *metrics, struct metrics_source *source)
{
    struct metrics_source **at = &metrics->sources;
    while (*at != NULL && *at != source) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = source->next;
    }
}

void metrics_count(struct metrics *metrics)
{
    for (struct metrics_source *it = metrics->sources; it != NULL; it = it->next) {
        it->fill(it->arg, metrics);
    }
}

void metrics_observe(struct metrics *metrics, enum histogram_id id, double seconds)
{
    struct histogram *histogram = &metrics->histogram[id];
    histogram->count++;
    histogram->sum += seconds;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (seconds <= bounds[i]) {
            histogram->buckets[i]++;
            return;
        }
    }
}

static void print_head(const struct metrics_row *row, struct buf *out)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name, row->type);
}

static void print_histogram(const struct metrics_row *row, const struct histogram *histogram,
                            struct buf *out)
{
    uint64_t so_far = 0;
    print_head(row, out);
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        so_far += histogram->buckets[i];
        buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", row->name, bounds[i], so_far);
    }
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n",
               row->name, histogram->count, row->name, histogram->sum, row->name, histogram->count);
}

void metrics_print(const struct metrics *metrics, struct buf *out)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (i == 0 || strcmp(rows[i].name, rows[i - 1].name) != 0) {
            print_head(&rows[i], out);
        }
        buf_printf(out, "%s%s %" PRIu64 "\n", rows[i].name, rows[i].labels, metrics->value[i]);
    }
    for (int i = 0; i < HISTOGRAM_COUNT; i++) {
        print_histogram(&histogram_rows[i], &metrics->histogram[i], out);
    }
}

void metrics_print_json(const struct metrics *metrics, struct buf *out)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        buf_printf(out, "%s\"%s", i > 0 ? "," : "", rows[i].name);
        for (const char *c = rows[i].labels; *c != '\0'; c++) {
            buf_printf(out, *c == '"' ? "\\%c" : "%c", *c);
        }
        buf_printf(out, "\":%" PRIu64, metrics->value[i]);
    }
    for (int i = 0; i < HISTOGRAM_COUNT; i++) {
        const struct histogram *histogram = &metrics->histogram[i];
        buf_printf(out, ",\"%s_count\":%" PRIu64 ",\"%s_sum\":%.6f", histogram_rows[i].name,
                   histogram->count, histogram_rows[i].name, histogram->sum);
    }
}
