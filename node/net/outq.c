/* SPDX-License-Identifier: MIT */
#include "node/net/outq.h"
#include "store/base/check.h"

enum {
    SMALL_RING = 8, /* chunks */
    OUTQ_MOST_POOLED = 4096,
};

/* A small ring that is not lent is a link of the pool's list. */
struct outq_ring {
    struct outq_ring *next;
};

static struct chunk **ring_new(struct outq_pool *pool, uint32_t size)
{
    if (size == SMALL_RING && pool->free != NULL) {
        struct outq_ring *ring = pool->free;
        pool->free = ring->next;
        pool->count--;
        return (struct chunk **)(void *)ring;
    }
    return mem_alloc(size * sizeof(struct chunk *));
}

static void ring_free(struct outq_pool *pool, struct chunk **ring, uint32_t size)
{
    if (size == SMALL_RING && pool->count < OUTQ_MOST_POOLED) {
        struct outq_ring *link = (void *)ring;
        link->next = pool->free;
        pool->free = link;
        pool->count++;
    } else {
        free(ring);
    }
}

static struct chunk **slot(const struct outq *q, uint32_t i)
{
    return &q->ring[(q->head + i) & q->mask];
}

static void grow(struct outq *q, struct outq_pool *pool)
{
    uint32_t size = q->ring != NULL ? (q->mask + 1) * 2 : SMALL_RING;
    struct chunk **ring = ring_new(pool, size);
    for (uint32_t i = 0; i < q->count; i++) {
        ring[i] = *slot(q, i);
    }
    if (q->ring != NULL) {
        ring_free(pool, q->ring, q->mask + 1);
    }
    q->ring = ring;
    q->mask = size - 1;
    q->head = 0;
}

void outq_push(struct outq *q, struct outq_pool *pool, struct chunk *chunk)
{
    if (q->ring == NULL || q->count > q->mask) {
        grow(q, pool);
    }
    *slot(q, q->count++) = chunk_ref(chunk);
    q->bytes += chunk->len;
}

int outq_peek(const struct outq *q, struct iovec *iov, int most)
{
    int n = 0;
    for (; n < most && (uint32_t)n < q->count; n++) {
        struct chunk *chunk = *slot(q, (uint32_t)n);
        iov[n] = (struct iovec){.iov_base = chunk->data, .iov_len = chunk->len};
    }
    if (n > 0) {
        iov[0].iov_base = (char *)iov[0].iov_base + q->offset;
        iov[0].iov_len -= q->offset;
    }
    return n;
}

static void settle(struct outq *q, struct outq_pool *pool)
{
    if (q->count == 0 && q->ring != NULL) {
        ring_free(pool, q->ring, q->mask + 1);
        *q = (struct outq){0};
    }
}

void outq_wrote(struct outq *q, struct outq_pool *pool, size_t n)
{
    CHECK(n <= q->bytes);
    q->bytes -= n;
    n += q->offset;
    while (q->count > 0 && n >= (*slot(q, 0))->len) {
        n -= (*slot(q, 0))->len;
        chunk_unref(*slot(q, 0));
        q->head++;
        q->count--;
    }
    q->offset = (uint32_t)n;
    settle(q, pool);
}

void outq_drop(struct outq *q, struct outq_pool *pool, bool keep_started)
{
    uint32_t keep = keep_started && q->offset > 0 ? 1 : 0;
    while (q->count > keep) {
        struct chunk *last = *slot(q, --q->count);
        q->bytes -= last->len;
        chunk_unref(last);
    }
    if (keep == 0) {
        q->offset = 0;
        q->bytes = 0;
    }
    settle(q, pool);
}

void outq_pool_deinit(struct outq_pool *pool)
{
    while (pool->free != NULL) {
        struct outq_ring *next = pool->free->next;
        free(pool->free);
        pool->free = next;
    }
    pool->count = 0;
}
