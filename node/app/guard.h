/* SPDX-License-Identifier: MIT */
/* guard: a small process beside the workers that outlives their parent when that one is killed. The
 * workers are told to end by the kernel then; the guard kills those that do not, because they stand
 * still, once the time of the drain is over. So nobody is left behind at the shared ports. */
#ifndef MUSTER_NODE_APP_GUARD_H
#define MUSTER_NODE_APP_GUARD_H

#include "node/app/beat.h"

struct guard {
    pid_t pid; /* 0: not running */
    int pipe;  /* its other end tells the guard that the parent is gone */
};

/* Starts it, from the workers' parent. `limit_ms`: from the parent's death to the end. Without one
 * (no process, no descriptor) the pid stays 0. */
void guard_start(struct guard *guard, const struct beat *workers, unsigned count,
                 uint64_t limit_ms);

/* In a process forked from the parent: what keeps the guard waiting is not its. */
void guard_forget(struct guard *guard);

/* In the parent, when the workers have ended: the guard does, too. */
void guard_end(struct guard *guard);

#endif
