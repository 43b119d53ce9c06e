/* SPDX-License-Identifier: MIT */
/* priority: which threads of this process go before others where there are more than cores. No right is
 * needed for either, and a system that refuses is left as it is. */
#ifndef MUSTER_NODE_CORE_PRIORITY_H
#define MUSTER_NODE_CORE_PRIORITY_H

/* The calling thread runs often and for short: once woken it runs at once (Linux 6.12 and later,
 * sched_setattr(2): a slice of its own). Threads and processes that it makes have it from it. */
void priority_wakes_early(void);

/* The calling thread has time: a tenth of the share of others, in long slices. */
void priority_has_time(void);

#endif
