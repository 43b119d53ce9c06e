/* SPDX-License-Identifier: MIT */
/* timer: libevent's timers in milliseconds. */
#ifndef MUSTER_STORE_BASE_TIMER_H
#define MUSTER_STORE_BASE_TIMER_H

#include <event2/event.h>
#include <stdint.h>

/* Adds `event` with a time-out of `ms` from now, in place of the one that it had; 0: the next turn. A
 * persistent event comes again after the same time. */
static inline void timer_after(struct event *event, uint64_t ms)
{
    struct timeval wait = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    event_add(event, &wait);
}

#endif
