/* SPDX-License-Identifier: MIT */
/* samples: times kept one by one, for quantiles. */
#ifndef MUSTER_BENCH_LOAD_SAMPLES_H
#define MUSTER_BENCH_LOAD_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
    uint32_t *ns; /* owned; longer than 4.2 s counts as 4.2 s */
    size_t count, cap;
};

void samples_add(struct samples *samples, uint64_t ns);

/* Prints `"name":{"count":n,"p50":..,"p99":..}`, in microseconds. Sorts them. */
void samples_print(struct samples *samples, const char *name);

#endif
