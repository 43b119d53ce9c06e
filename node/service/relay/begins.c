/* SPDX-License-Identifier: MIT */
#include "node/service/relay/begins.h"

#include "store/base/clock.h"
#include "store/base/mem.h"

#include <stdlib.h>

enum { FIRST_BEGINS = 8 };

struct relay_begin *relay_begin_new(struct chunk *chunk, uint64_t topic)
{
    struct relay_begin *begin = mem_alloc(sizeof(*begin));
    *begin = (struct relay_begin){1, topic, clock_monotonic_us(), chunk_ref(chunk)};
    return begin;
}

void relay_begin_unref(struct relay_begin *begin)
{
    if (--begin->refs == 0) {
        chunk_unref(begin->chunk);
        free(begin);
    }
}

static struct relay_begin **slot(const struct relay_begins *begins, uint32_t i)
{
    return ring_at(&begins->ring, i, sizeof(struct relay_begin *));
}

static void free_if_empty(struct relay_begins *begins)
{
    if (begins->ring.count == 0) {
        ring_free(&begins->ring);
    }
}

void relay_begins_push(struct relay_begins *begins, struct relay_begin *begin)
{
    struct relay_begin **at = ring_push(&begins->ring, FIRST_BEGINS, sizeof(begin));
    begin->refs++;
    *at = begin;
}

struct relay_begin *relay_begins_first(const struct relay_begins *begins)
{
    return begins->ring.count > 0 ? *slot(begins, 0) : NULL;
}

struct relay_begin *relay_begins_take(struct relay_begins *begins, uint64_t topic)
{
    uint32_t at = 0, count = begins->ring.count;
    while (at < count && (*slot(begins, at))->topic != topic) {
        at++;
    }
    if (at == count) {
        return NULL;
    }
    struct relay_begin *taken = *slot(begins, at);
    for (; at + 1 < count; at++) {
        *slot(begins, at) = *slot(begins, at + 1);
    }
    begins->ring.count--;
    free_if_empty(begins);
    return taken;
}

void relay_begins_shift(struct relay_begins *begins)
{
    relay_begin_unref(*slot(begins, 0));
    ring_shift(&begins->ring, 1);
    free_if_empty(begins);
}

void relay_begins_clear(struct relay_begins *begins)
{
    while (begins->ring.count > 0) {
        relay_begins_shift(begins);
    }
}
