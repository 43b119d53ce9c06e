/* SPDX-License-Identifier: MIT */
/* fail: a figure from a broken run is worth nothing, so whatever goes wrong ends the program. */
#ifndef MUSTER_BENCH_LOAD_FAIL_H
#define MUSTER_BENCH_LOAD_FAIL_H

#include <stdbool.h>

/* Says what the program is doing from now on; named by whatever fails later. `phase` is kept, not
 * copied. */
void phase_set(const char *phase);

/* Ends the program with a message on stderr. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* fail() with the text of errno, when `ok` is false. */
void must(bool ok, const char *what);

/* Ends the program when it is still there after `seconds`. */
void fail_after(unsigned seconds);

#endif
