/* SPDX-License-Identifier: MIT */
/* Cases on stdin, each four bytes of length (big endian) and so many bytes; answers on stdout. */
#ifndef MUSTER_TESTS_SECOND_CASES_H
#define MUSTER_TESTS_SECOND_CASES_H

#include "store/base/buf.h"

#include <stdbool.h>
#include <stdio.h>

/* The next case, into `into`; false at the end. */
static inline bool case_next(struct buf *into)
{
    unsigned char head[4];
    into->len = 0;
    if (fread(head, 1, sizeof(head), stdin) != sizeof(head)) {
        return false;
    }
    size_t len =
        (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | (size_t)head[3];
    if (fread(buf_room(into, len + 1), 1, len, stdin) != len) {
        return false;
    }
    buf_grew(into, len);
    return true;
}

/* Prints a blank and `bytes` in hexadecimal digits, "-" where there are none. */
static inline void case_print_hex(struct span bytes)
{
    putchar(' ');
    for (size_t i = 0; i < bytes.len; i++) {
        printf("%02x", (unsigned char)bytes.ptr[i]);
    }
    if (bytes.len == 0) {
        putchar('-');
    }
}

#endif
