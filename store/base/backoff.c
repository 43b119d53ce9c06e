/* SPDX-License-Identifier: MIT */
#include "store/base/backoff.h"

#include "store/base/entropy.h"

uint32_t backoff_next(struct backoff *backoff)
{
    uint64_t step = backoff->step_ms > 0 ? (uint64_t)backoff->step_ms * 2 : backoff->first_ms;
    backoff->step_ms = (uint32_t)(step < backoff->most_ms ? step : backoff->most_ms);
    return backoff->step_ms / 2 + (uint32_t)entropy_below(backoff->step_ms / 2 + 1);
}
