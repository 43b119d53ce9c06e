/* SPDX-License-Identifier: MIT */
/* schedule: `count` things, each due once in every period at a moment of its own, as clients that
 * do not know of each other are. */
#ifndef MUSTER_BENCH_LOAD_SCHEDULE_H
#define MUSTER_BENCH_LOAD_SCHEDULE_H

#include "tests/bench/load/loop.h"

struct schedule {
    struct handler timer;
    void (*due)(void *arg, uint32_t which);
    void *arg;
    uint64_t *moments; /* owned: within the period, growing */
    uint32_t *order;   /* owned: which thing each moment belongs to */
    uint32_t count, next;
    uint64_t period, round; /* ns; when the current period began */
    bool running;
};

/* The moments are drawn from `seed`. `due` is called once for each thing when its moment came. */
void schedule_init(struct schedule *schedule, struct loop *loop, uint32_t count, uint64_t period,
                   uint32_t seed);

/* Begins a period now. */
void schedule_start(struct schedule *schedule);

/* No `due` any more. */
void schedule_stop(struct schedule *schedule);

#endif
