/* SPDX-License-Identifier: MIT */
/* backoff: how long to wait before the next try. Doubles from `first_ms` up to `most_ms`; each wait
 * is drawn from the upper half of its step, so that a fleet that fell together does not rise
 * together. */
#ifndef MUSTER_STORE_BASE_BACKOFF_H
#define MUSTER_STORE_BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
    uint32_t first_ms, most_ms, step_ms; /* step_ms 0: the next try is the first */
};

static inline void backoff_reset(struct backoff *backoff)
{
    backoff->step_ms = 0;
}

/* Milliseconds to wait before the next try. */
uint32_t backoff_next(struct backoff *backoff);

#endif
