/* SPDX-License-Identifier: MIT */
/* ring: a queue of things of one size that grows as it must, by doubling. An empty one that was
 * never used owns no memory.
 *
 *     slots   [ 4 | 5 | _ | _ | 0 | 1 | 2 | 3 ]    head 4, count 6, mask 7
 *
 * `size` is that of one thing, the same in every call. */
#ifndef MUSTER_STORE_BASE_RING_H
#define MUSTER_STORE_BASE_RING_H

#include "store/base/mem.h"

#include <stdint.h>
#include <string.h>

struct ring {
    char *slots;          /* NULL: none */
    uint32_t mask;        /* slots less one; they are a power of two */
    uint32_t head, count; /* the first thing, and how many */
    uint32_t begun;       /* for the owner: how much of the first thing is done */
};

static inline void *ring_at(const struct ring *ring, uint32_t i, size_t size)
{
    return ring->slots + ((ring->head + i) & ring->mask) * size;
}

/* The next push needs more slots. */
static inline bool ring_full(const struct ring *ring)
{
    return ring->slots == NULL || ring->count > ring->mask;
}

/* The slots that a full ring should have instead; `first` is a power of two, for one without any. */
static inline uint32_t ring_next_slots(const struct ring *ring, uint32_t first)
{
    return ring->slots != NULL ? (ring->mask + 1) * 2 : first;
}

/* Moves all into `slots` of them at `to`, which it steals; the old memory (or NULL) is handed over. */
static inline void *ring_move(struct ring *ring, void *to, uint32_t slots, size_t size)
{
    void *old = ring->slots;
    for (uint32_t i = 0; i < ring->count; i++) {
        memcpy((char *)to + i * size, ring_at(ring, i, size), size);
    }
    ring->slots = to;
    ring->mask = slots - 1;
    ring->head = 0;
    return old;
}

/* The slot of one more thing at the end, to be filled; borrowed until the next push. */
static inline void *ring_push(struct ring *ring, uint32_t first, size_t size)
{
    if (ring_full(ring)) {
        uint32_t slots = ring_next_slots(ring, first);
        free(ring_move(ring, mem_alloc(slots * size), slots, size));
    }
    return ring_at(ring, ring->count++, size);
}

/* Takes `count` things, which are there, from the front. */
static inline void ring_shift(struct ring *ring, uint32_t count)
{
    ring->head += count;
    ring->count -= count;
}

/* Without things and memory. */
static inline void ring_free(struct ring *ring)
{
    free(ring->slots);
    *ring = (struct ring){0};
}

#endif
