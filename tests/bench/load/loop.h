/* SPDX-License-Identifier: MIT */
/* loop: epoll, and timers as descriptors. */
#ifndef MUSTER_BENCH_LOAD_LOOP_H
#define MUSTER_BENCH_LOAD_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct handler {
    int fd;
    void (*ready)(struct handler *handler, uint32_t events);
};

struct loop {
    int epoll;
};

void loop_init(struct loop *loop);

/* Level-triggered. The handler stays put until the program ends or loop_remove. */
void loop_add(struct loop *loop, struct handler *handler, uint32_t events);
void loop_change(struct loop *loop, struct handler *handler, uint32_t events);
void loop_remove(struct loop *loop, struct handler *handler);

/* Waits until something is ready, at most 50 ms, and handles it. */
void loop_turn(struct loop *loop);

/* loop_turn for that long. */
void loop_run_for(struct loop *loop, double seconds);

/* Says `ready`, and turns until standard input ends. */
void loop_hold(struct loop *loop);

/* A timer descriptor, not armed. */
int timer_open(void);

/* Rings at `when` (now_ns). Only one time is kept. */
void timer_at(int timer, uint64_t when);

/* Takes the ring off a timer that is ready. */
void timer_clear(int timer);

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

#endif
