/* SPDX-License-Identifier: MIT */
#include "node/core/loop.h"

#include "node/core/log.h"
#include "store/base/clock.h"
#include "store/base/mem.h"

#include <stdbool.h>
#include <stdio.h>

enum {
    MOST_HOOKS = 8,
    LONG_TURN_US = 50 * 1000, /* of CPU time; said in the log, */
    LONG_TURN_LINE_MS = 1000, /* so often at most */
};

struct hook {
    void (*fn)(void *arg);
    void *arg;
};

struct loop {
    struct event_base *base;
    struct hook hooks[MOST_HOOKS];
    unsigned hook_count;
    bool stopping;
    bool again;
    uint64_t turn;
    uint64_t awake_us;       /* monotonic, of the first callback in this turn; 0: none yet */
    uint64_t cpu_us;         /* of this thread, when the last turn ended */
    uint64_t line_ms;        /* monotonic, of the last line about a long turn; 0: none yet */
    struct metrics *metrics; /* NULL: turns are not measured */
};

/* Its own way is a plain write to stderr, on which nothing may wait. What logging leads to is not
 * logged again. */
static void on_libevent_says(int severity, const char *text)
{
    static bool inside;
    if (inside || severity < EVENT_LOG_WARN) {
        return;
    }
    inside = true;
    log_warn("libevent", LOG_TEXT_FIELD("detail", text));
    inside = false;
}

struct loop *loop_new(void)
{
    event_set_log_callback(on_libevent_says);
    struct loop *loop = mem_zalloc(sizeof(*loop));
    struct event_config *config = event_config_new();
    if (config != NULL) {
        /* One thread: no locks. */
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        loop->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (loop->base == NULL) {
        fprintf(stderr, "muster: the system gives no event loop\n");
        abort();
    }
    return loop;
}

void loop_free(struct loop **loop)
{
    if (*loop != NULL) {
        event_base_free((*loop)->base);
        free(*loop);
        *loop = NULL;
    }
}

struct event_base *loop_base(const struct loop *loop)
{
    return loop->base;
}

uint64_t loop_turn(const struct loop *loop)
{
    return loop->turn;
}

void loop_awake(struct loop *loop)
{
    if (loop->awake_us == 0) {
        loop->awake_us = clock_monotonic_us();
    }
}

uint64_t loop_turn_us(struct loop *loop)
{
    return loop->awake_us != 0 ? clock_monotonic_us() - loop->awake_us : 0;
}

static uint64_t thread_cpu_us(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000U + (uint64_t)used.tv_nsec / 1000U;
}

void loop_measure(struct loop *loop, struct metrics *metrics)
{
    loop->metrics = metrics;
    loop->cpu_us = thread_cpu_us();
}

/* A machine that has no time for us makes turns long that are not: only our own work is said. */
static void tell_long_turn(struct loop *loop, uint64_t cpu_us, uint64_t us)
{
    uint64_t now = clock_monotonic_ms();
    if (loop->line_ms != 0 && now - loop->line_ms < LONG_TURN_LINE_MS) {
        return;
    }
    loop->line_ms = now;
    log_warn("a turn of the loop was long: all clients waited",
             LOG_NUMBER_FIELD("cpu_ms", cpu_us / 1000), LOG_NUMBER_FIELD("ms", us / 1000));
}

static void measure_turn(struct loop *loop)
{
    uint64_t cpu_us = thread_cpu_us(), used_us = cpu_us - loop->cpu_us, us = loop_turn_us(loop);
    loop->cpu_us = cpu_us;
    us = us > used_us ? us : used_us;
    metrics_observe(loop->metrics, HISTOGRAM_LOOP_TURN, (double)us / 1e6);
    metrics_observe(loop->metrics, HISTOGRAM_LOOP_TURN_CPU, (double)used_us / 1e6);
    if (used_us > LONG_TURN_US) {
        tell_long_turn(loop, used_us, us);
    }
}

void loop_at_turn_end(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    if (loop->hook_count == MOST_HOOKS) {
        fprintf(stderr, "muster: too many hooks on the loop\n");
        abort();
    }
    loop->hooks[loop->hook_count++] = (struct hook){fn, arg};
}

void loop_run(struct loop *loop)
{
    loop->stopping = false;
    while (!loop->stopping) {
        int flags = EVLOOP_ONCE | (loop->again ? EVLOOP_NONBLOCK : 0);
        loop->again = false;
        loop->turn++;
        int rc = event_base_loop(loop->base, flags);
        if (rc < 0) {
            fprintf(stderr, "muster: the event loop failed\n");
            abort();
        }
        /* 1: no event left to wait for. Listeners and timers are always there but in tests. */
        if (rc > 0 && !loop->again) {
            loop->stopping = true;
        }
        loop_awake(loop);
        for (unsigned i = 0; i < loop->hook_count; i++) {
            loop->hooks[i].fn(loop->hooks[i].arg);
        }
        if (loop->metrics != NULL) {
            measure_turn(loop);
        }
        loop->awake_us = 0;
    }
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

void loop_again(struct loop *loop)
{
    loop->again = true;
}
