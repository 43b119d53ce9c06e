/* SPDX-License-Identifier: MIT */
/* Clocks. */
#ifndef MUSTER_STORE_BASE_CLOCK_H
#define MUSTER_STORE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Microseconds of a clock that never jumps; only differences mean something. */
static inline uint64_t clock_monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000U + (uint64_t)now.tv_nsec / 1000U;
}

static inline uint64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000U;
}

/* Milliseconds since 1970-01-01 UTC. */
static inline uint64_t clock_unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000U + (uint64_t)now.tv_nsec / 1000000U;
}

#endif
