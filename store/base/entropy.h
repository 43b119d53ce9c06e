/* SPDX-License-Identifier: MIT */
/* Random bytes of the system, for seeds, ids and back-off jitter. */
#ifndef MUSTER_STORE_BASE_ENTROPY_H
#define MUSTER_STORE_BASE_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

/* Fills `out` with `len` (at most 256) bytes from getrandom(2); ends the process where the system
 * has none. */
void entropy(void *out, size_t len);

/* A number from 0 to below `bound` (above 0), without bias that matters for jitter. */
uint64_t entropy_below(uint64_t bound);

/* Writes `digits` random lower-case hexadecimal digits and a NUL to `out`. */
void entropy_hex(char *out, size_t digits);

#endif
