/* SPDX-License-Identifier: MIT */
#include "node/core/loop.h"

#include "node/core/log.h"
#include "store/base/clock.h"
#include "store/base/mem.h"

#include <stdbool.h>
#include <stdio.h>

enum { MOST_HOOKS = 8 };

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

uint64_t loop_now_ms(const struct loop *loop)
{
    (void)loop;
    return clock_monotonic_ms();
}

uint64_t loop_turn(const struct loop *loop)
{
    return loop->turn;
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
        for (unsigned i = 0; i < loop->hook_count; i++) {
            loop->hooks[i].fn(loop->hooks[i].arg);
        }
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
