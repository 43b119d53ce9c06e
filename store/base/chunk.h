/* SPDX-License-Identifier: MIT */
/* chunk: outbound bytes, built once and shared by every queue they stand in. */
#ifndef MUSTER_STORE_BASE_CHUNK_H
#define MUSTER_STORE_BASE_CHUNK_H

#include "store/base/buf.h"
#include "store/base/check.h"
#include "store/base/mem.h"
#include "store/base/span.h"

#include <stdint.h>

struct chunk {
    uint32_t refs;
    uint32_t len; /* bytes in data */
    char data[];
};

/* New, with one reference, its bytes still to be filled in. `len` is below 4 GiB. */
static inline struct chunk *chunk_new(size_t len)
{
    struct chunk *chunk = mem_alloc(sizeof(*chunk) + len);
    chunk->refs = 1;
    chunk->len = (uint32_t)len;
    return chunk;
}

/* New, with a copy of `bytes`. */
static inline struct chunk *chunk_copy(struct span bytes)
{
    struct chunk *chunk = chunk_new(bytes.len);
    if (bytes.len > 0) {
        memcpy(chunk->data, bytes.ptr, bytes.len);
    }
    return chunk;
}

/* A buf that is to become a chunk, without a copy, begins so. */
static inline void chunk_begin(struct buf *buf)
{
    buf_room(buf, sizeof(struct chunk));
    buf_grew(buf, sizeof(struct chunk));
}

/* New, of what was appended since chunk_begin, below 4 GiB; `buf` is empty and free again. */
static inline struct chunk *chunk_end(struct buf *buf)
{
    struct chunk *chunk = mem_realloc(buf->ptr, buf->len);
    chunk->refs = 1;
    chunk->len = (uint32_t)(buf->len - sizeof(*chunk));
    *buf = (struct buf){0};
    return chunk;
}

/* One more reference; returns the same chunk. */
static inline struct chunk *chunk_ref(struct chunk *chunk)
{
    chunk->refs++;
    return chunk;
}

/* One reference less; NULL is fine. */
static inline void chunk_unref(struct chunk *chunk)
{
    if (chunk != NULL) {
        CHECK(chunk->refs > 0);
        if (--chunk->refs == 0) {
            free(chunk);
        }
    }
}

#endif
