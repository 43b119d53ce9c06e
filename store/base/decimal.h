/* SPDX-License-Identifier: MIT */
/* decimal: whole numbers in text: digits and nothing else, no sign. */
#ifndef MUSTER_STORE_BASE_DECIMAL_H
#define MUSTER_STORE_BASE_DECIMAL_H

#include "store/base/span.h"

#include <stdint.h>

/* All of `text` is a number of at most `most`; *number is then that, and else 0. */
bool decimal_read(struct span text, uint64_t most, uint64_t *number)
    __attribute__((warn_unused_result));

/* The same, where more than `most` counts as `most`. */
bool decimal_capped(struct span text, uint64_t most, uint64_t *number)
    __attribute__((warn_unused_result));

/* Cuts a number and the `end` byte behind it off *rest, which else stays as it is. */
bool decimal_cut(struct span *rest, char end, uint64_t *number) __attribute__((warn_unused_result));

#endif
