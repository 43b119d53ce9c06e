/* SPDX-License-Identifier: MIT */
/* inflater: reads deflated messages that many clients get in the same form. The first is inflated
 * and kept; one with the same bytes costs a memcmp. */
#ifndef MUSTER_BENCH_LOAD_INFLATER_H
#define MUSTER_BENCH_LOAD_INFLATER_H

#include "tests/bench/load/client.h"

struct inflater;

struct inflater *inflater_new(void);

/* The text of a frame (deflated or not), borrowed until the next call. Ends the program when it
 * cannot be inflated. `hint` says which kept one it is likely to equal: the number of a push. */
struct span inflater_text(struct inflater *inflater, const struct frame *frame, uint32_t hint);

#endif
