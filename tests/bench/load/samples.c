/* SPDX-License-Identifier: MIT */
#include "tests/bench/load/samples.h"

#include "store/base/mem.h"

void samples_add(struct samples *samples, uint64_t ns)
{
    if (samples->count == samples->cap) {
        samples->cap = samples->cap > 0 ? samples->cap * 2 : 1 << 16;
        samples->ns = mem_realloc(samples->ns, samples->cap * sizeof(*samples->ns));
    }
    samples->ns[samples->count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double quantile(const struct samples *samples, double part)
{
    if (samples->count == 0) {
        return 0;
    }
    return samples->ns[(size_t)(part * (double)(samples->count - 1))] / 1e3;
}

void samples_print(struct samples *samples, const char *name)
{
    if (samples->count > 0) {
        qsort(samples->ns, samples->count, sizeof(*samples->ns), compare);
    }
    printf("\"%s\":{\"count\":%zu,\"p50\":%.1f,\"p99\":%.1f}", name, samples->count,
           quantile(samples, 0.5), quantile(samples, 0.99));
}
