/* SPDX-License-Identifier: MIT */
#include "tests/bench/load/schedule.h"

#include "store/base/mem.h"

#include <sys/epoll.h>

enum { AT_ONCE = 64 }; /* one that is behind reads answers between, and may stop */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t next_due(const struct schedule *schedule)
{
    return schedule->round + schedule->moments[schedule->next];
}

static void step(struct schedule *schedule)
{
    if (++schedule->next == schedule->count) {
        schedule->next = 0;
        schedule->round += schedule->period;
    }
}

static void on_timer(struct handler *handler, uint32_t events)
{
    struct schedule *schedule = CONTAINER_OF(handler, struct schedule, timer);
    (void)events;
    timer_clear(handler->fd);
    for (int i = 0; i < AT_ONCE && schedule->running && next_due(schedule) <= now_ns(); i++) {
        uint32_t which = schedule->order[schedule->next];
        step(schedule);
        schedule->due(schedule->arg, which);
    }
    if (schedule->running) {
        timer_at(handler->fd, next_due(schedule));
    }
}

/* Sorted moments, handed out so that neighbours in time are no neighbours in number. */
static void draw(struct schedule *schedule, uint32_t seed)
{
    uint64_t random = seed;
    for (uint32_t i = 0; i < schedule->count; i++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        schedule->moments[i] = (random >> 20) % schedule->period;
        uint32_t j = (uint32_t)((random >> 33) % (i + 1));
        schedule->order[i] = schedule->order[j];
        schedule->order[j] = i;
    }
    qsort(schedule->moments, schedule->count, sizeof(*schedule->moments), compare);
}

void schedule_init(struct schedule *schedule, struct loop *loop, uint32_t count, uint64_t period,
                   uint32_t seed)
{
    schedule->timer = (struct handler){timer_open(), on_timer};
    schedule->count = count;
    schedule->period = period;
    schedule->moments = mem_zalloc(count * sizeof(*schedule->moments));
    schedule->order = mem_zalloc(count * sizeof(*schedule->order));
    draw(schedule, seed);
    loop_add(loop, &schedule->timer, EPOLLIN);
}

void schedule_start(struct schedule *schedule)
{
    schedule->running = true;
    schedule->next = 0;
    schedule->round = now_ns();
    timer_at(schedule->timer.fd, next_due(schedule));
}

void schedule_stop(struct schedule *schedule)
{
    schedule->running = false;
}
