/* SPDX-License-Identifier: MIT */
/* buf: bytes that grow. */
#ifndef MUSTER_STORE_BASE_BUF_H
#define MUSTER_STORE_BASE_BUF_H

#include "store/base/span.h"

#include <stdarg.h>

/* All zero is an empty buf. `ptr` is owned and not NUL-ended, unless buf_text was just called. */
struct buf {
    char *ptr;
    size_t len, cap; /* bytes */
};

/* Room for `more` bytes behind the end; returns where they go. buf_grew says how many were written.
 */
char *buf_room(struct buf *buf, size_t more);

static inline void buf_grew(struct buf *buf, size_t by)
{
    buf->len += by;
}

void buf_append(struct buf *buf, struct span bytes);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *buf, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Drops the first `n` bytes. */
void buf_consume(struct buf *buf, size_t n);

/* Forgets the content and frees the memory. */
void buf_free(struct buf *buf);

/* The content, borrowed until the next change. */
static inline struct span buf_span(const struct buf *buf)
{
    return span_of(buf->ptr, buf->len);
}

/* The content as a NUL-ended string, borrowed until the next change. */
const char *buf_text(struct buf *buf);

#endif
