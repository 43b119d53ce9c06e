/* SPDX-License-Identifier: MIT */
/* check: what the program believes of itself. CHECK(x) costs a branch that is not taken; where x
 * does not hold it ends the process in builds for tests and fuzzing (MUSTER_CHECKS), so that the
 * fault is seen where it is. In a release it is counted and told, and the program goes on: a node
 * that is wrong about one thing still serves all others. */
#ifndef MUSTER_STORE_BASE_CHECK_H
#define MUSTER_STORE_BASE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (__builtin_expect(!(x), 0)) {                                                           \
            check_failed(__FILE__, __LINE__, #x);                                                  \
        }                                                                                          \
    } while (0)

/* What CHECK calls. */
void check_failed(const char *file, int line, const char *text) __attribute__((cold));

/* How many did not hold since the start, and the place of the last one as "file:line: text"
 * (static; empty: none). */
uint64_t check_failures(void);
const char *check_last(void);

#endif
