/* SPDX-License-Identifier: MIT */
#include "node/core/priority.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SHORT_SLICE_NS = 500 * 1000, /* the kernel's own is 1.4 to 2.8 ms, more with more cores */
    HAS_TIME_NICE = 10,
    NICE_MOST = 19,
};

/* struct sched_attr of the kernel, version 0: the C library has none. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns, deadline, period; /* slice_ns: sched_runtime; 0: the kernel's own */
};

/* Of this thread; false where nothing can be said, or an operator chose another policy. */
static bool get(struct attributes *now)
{
    *now = (struct attributes){.size = sizeof(*now)};
    return syscall(SYS_sched_getattr, 0, now, sizeof(*now), 0) == 0 && now->policy == SCHED_OTHER;
}

void priority_wakes_early(void)
{
    struct attributes wanted;
    if (get(&wanted)) {
        wanted.slice_ns = SHORT_SLICE_NS;
        syscall(SYS_sched_setattr, 0, &wanted, 0);
    }
}

void priority_has_time(void)
{
    struct attributes wanted;
    if (get(&wanted)) {
        wanted.nice +=
            wanted.nice + HAS_TIME_NICE < NICE_MOST ? HAS_TIME_NICE : NICE_MOST - wanted.nice;
        wanted.slice_ns = 0;
        syscall(SYS_sched_setattr, 0, &wanted, 0);
    }
}
