/* SPDX-License-Identifier: MIT */
#include "store/base/buf.h"

#include "store/base/check.h"
#include "store/base/mem.h"

#include <stdio.h>

enum { FIRST_CAP = 64 };

char *buf_room(struct buf *buf, size_t more)
{
    size_t need = buf->len + more;
    if (need > buf->cap || buf->ptr == NULL) {
        size_t cap = buf->cap > 0 ? buf->cap : FIRST_CAP;
        while (cap < need) {
            cap *= 2;
        }
        buf->ptr = mem_realloc(buf->ptr, cap);
        buf->cap = cap;
    }
    return buf->ptr + buf->len;
}

void buf_append(struct buf *buf, struct span bytes)
{
    if (bytes.len > 0) {
        memcpy(buf_room(buf, bytes.len), bytes.ptr, bytes.len);
        buf->len += bytes.len;
    }
}

void buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int need = vsnprintf(NULL, 0, format, args);
    if (need > 0) {
        vsnprintf(buf_room(buf, (size_t)need + 1), (size_t)need + 1, format, again);
        buf->len += (size_t)need;
    }
    va_end(again);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

void buf_consume(struct buf *buf, size_t n)
{
    CHECK(n <= buf->len);
    buf->len -= n;
    if (n > 0 && buf->len > 0) {
        memmove(buf->ptr, buf->ptr + n, buf->len);
    }
}

void buf_free(struct buf *buf)
{
    free(buf->ptr);
    *buf = (struct buf){0};
}

const char *buf_text(struct buf *buf)
{
    *buf_room(buf, 1) = '\0';
    return buf->ptr;
}
