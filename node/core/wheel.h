/* SPDX-License-Identifier: MIT */
/* wheel: many timers that are moved often and fire rarely (idle times of connections). A hashed
 * wheel of 100 ms slots; moving a timer to a later time only writes its deadline, and the slot
 * finds out. It sleeps while slots are empty, a second at most. */
#ifndef MUSTER_NODE_CORE_WHEEL_H
#define MUSTER_NODE_CORE_WHEEL_H

#include "node/core/loop.h"
#include "store/base/list.h"

#include <stdint.h>

enum { WHEEL_TICK_MS = 100 };

struct wheel;

/* Lives inside the object it is for; wheel_timer_init once, wheel_cancel before that object goes.
 */
struct wheel_timer {
    struct list entry;
    void (*fn)(struct wheel_timer *timer);
    uint32_t deadline; /* tick; 0: not set */
    uint32_t slot;     /* tick at which the slot it stands in is looked at */
};

struct wheel *wheel_new(struct loop *loop);
void wheel_free(struct wheel **wheel);

void wheel_timer_init(struct wheel_timer *timer, void (*fn)(struct wheel_timer *timer));

/* Fires once, `ms` from now (rounded up to a tick, of more than ten seconds to a second, and never early);
 * replaces an earlier time. */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t ms);
void wheel_cancel(struct wheel_timer *timer);

#endif
