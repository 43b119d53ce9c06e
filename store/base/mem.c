/* SPDX-License-Identifier: MIT */
#include "store/base/mem.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void mem_exhausted(size_t size)
{
    char line[80];
    struct pollfd look = {.fd = STDERR_FILENO, .events = POLLOUT};
    int len = snprintf(line, sizeof(line), "muster: out of memory (%zu bytes wanted)\n", size);
    /* The end does not wait for the reader of stderr, which may not exist. */
    bool said = poll(&look, 1, 0) == 1 && write(STDERR_FILENO, line, (size_t)len) == len;
    (void)said;
    abort();
}

static void *must(void *ptr, size_t size)
{
    if (ptr == NULL) {
        mem_exhausted(size);
    }
    return ptr;
}

void *mem_alloc(size_t size)
{
    return must(malloc(size > 0 ? size : 1), size);
}

void *mem_zalloc(size_t size)
{
    return must(calloc(1, size > 0 ? size : 1), size);
}

void *mem_realloc(void *ptr, size_t size)
{
    return must(realloc(ptr, size > 0 ? size : 1), size);
}

char *mem_dup(struct span s)
{
    char *copy = mem_alloc(s.len + 1);
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    return copy;
}
