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

static void *slots_new(struct outq_pool *pool, uint32_t slots)
{
    if (slots == SMALL_RING && pool->free != NULL) {
        struct outq_ring *lent = pool->free;
        pool->free = lent->next;
        pool->count--;
        return lent;
    }
    return mem_alloc(slots * sizeof(struct chunk *));
}

static void slots_free(struct outq_pool *pool, void *memory, uint32_t slots)
{
    if (slots == SMALL_RING && pool->count < OUTQ_MOST_POOLED) {
        struct outq_ring *link = memory;
        link->next = pool->free;
        pool->free = link;
        pool->count++;
    } else {
        free(memory);
    }
}

static struct chunk *chunk_at(const struct outq *q, uint32_t i)
{
    return *(struct chunk **)ring_at(&q->ring, i, sizeof(struct chunk *));
}

static void grow(struct outq *q, struct outq_pool *pool)
{
    uint32_t had = q->ring.mask + 1, slots = ring_next_slots(&q->ring, SMALL_RING);
    void *old = ring_move(&q->ring, slots_new(pool, slots), slots, sizeof(struct chunk *));
    if (old != NULL) {
        slots_free(pool, old, had);
    }
}

void outq_push(struct outq *q, struct outq_pool *pool, struct chunk *chunk)
{
    if (ring_full(&q->ring)) {
        grow(q, pool);
    }
    *(struct chunk **)ring_push(&q->ring, SMALL_RING, sizeof(chunk)) = chunk_ref(chunk);
    q->bytes += chunk->len;
}

int outq_peek(const struct outq *q, struct iovec *iov, int most)
{
    int n = 0;
    for (; n < most && (uint32_t)n < q->ring.count; n++) {
        struct chunk *chunk = chunk_at(q, (uint32_t)n);
        iov[n] = (struct iovec){.iov_base = chunk->data, .iov_len = chunk->len};
    }
    if (n > 0) {
        iov[0].iov_base = (char *)iov[0].iov_base + q->ring.begun;
        iov[0].iov_len -= q->ring.begun;
    }
    return n;
}

static void settle(struct outq *q, struct outq_pool *pool)
{
    if (q->ring.count == 0 && q->ring.slots != NULL) {
        slots_free(pool, q->ring.slots, q->ring.mask + 1);
        *q = (struct outq){0};
    }
}

void outq_wrote(struct outq *q, struct outq_pool *pool, size_t n)
{
    CHECK(n <= q->bytes);
    q->bytes -= n;
    n += q->ring.begun;
    while (q->ring.count > 0 && n >= chunk_at(q, 0)->len) {
        n -= chunk_at(q, 0)->len;
        chunk_unref(chunk_at(q, 0));
        ring_shift(&q->ring, 1);
    }
    q->ring.begun = (uint32_t)n;
    settle(q, pool);
}

void outq_drop(struct outq *q, struct outq_pool *pool, bool keep_started)
{
    uint32_t keep = keep_started && q->ring.begun > 0 ? 1 : 0;
    while (q->ring.count > keep) {
        struct chunk *last = chunk_at(q, --q->ring.count);
        q->bytes -= last->len;
        chunk_unref(last);
    }
    if (keep == 0) {
        q->ring.begun = 0;
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
