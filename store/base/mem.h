/* SPDX-License-Identifier: MIT */
/* Memory that is there or the process ends: no caller has a path for "out of memory", because a
 * node that cannot allocate is better replaced (its peers notice within a lease) than half alive.
 */
#ifndef MUSTER_STORE_BASE_MEM_H
#define MUSTER_STORE_BASE_MEM_H

#include "store/base/span.h"

#include <stddef.h>
#include <stdlib.h>

/* Ends the process with a message: `size` bytes were not there. */
void mem_exhausted(size_t size) __attribute__((noreturn));

/* New memory of `size` bytes, not cleared; ends the process with a message when there is none. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));

/* The same, cleared. */
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));

/* Steals `ptr` (NULL is fine) and returns it with room for `size` bytes. */
void *mem_realloc(void *ptr, size_t size) __attribute__((returns_nonnull, warn_unused_result));

/* New NUL-ended copy of the bytes of `s`. */
char *mem_dup(struct span s) __attribute__((returns_nonnull, warn_unused_result));

/* The object of type `type` whose member `member` is at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
