/* SPDX-License-Identifier: MIT */
#include "node/service/relay/notices.h"

#include "store/base/clock.h"
#include "store/base/mem.h"

#include <stdlib.h>

enum { FIRST_NOTICES = 8 };

struct relay_notice *relay_notice_new(struct chunk *chunk, struct relay_paced_mark mark)
{
    struct relay_notice *notice = mem_alloc(sizeof(*notice));
    *notice = (struct relay_notice){1, mark, clock_monotonic_us(), chunk_ref(chunk)};
    return notice;
}

void relay_notice_unref(struct relay_notice *notice)
{
    if (--notice->refs == 0) {
        chunk_unref(notice->chunk);
        free(notice);
    }
}

static struct relay_notice **slot(const struct relay_notices *notices, uint32_t i)
{
    return ring_at(&notices->ring, i, sizeof(struct relay_notice *));
}

static void free_if_empty(struct relay_notices *notices)
{
    if (notices->ring.count == 0) {
        ring_free(&notices->ring);
    }
}

void relay_notices_push(struct relay_notices *notices, struct relay_notice *notice)
{
    struct relay_notice **at = ring_push(&notices->ring, FIRST_NOTICES, sizeof(notice));
    notice->refs++;
    *at = notice;
}

struct relay_notice *relay_notices_first(const struct relay_notices *notices)
{
    return notices->ring.count > 0 ? *slot(notices, 0) : NULL;
}

/* The place of the first one of that topic, or how many there are. */
static uint32_t place_of(const struct relay_notices *notices, uint64_t topic)
{
    uint32_t at = 0;
    while (at < notices->ring.count && (*slot(notices, at))->mark.topic != topic) {
        at++;
    }
    return at;
}

bool relay_notices_has(const struct relay_notices *notices, uint64_t topic)
{
    return place_of(notices, topic) < notices->ring.count;
}

struct relay_notice *relay_notices_take(struct relay_notices *notices, uint64_t topic)
{
    uint32_t at = place_of(notices, topic), count = notices->ring.count;
    if (at == count) {
        return NULL;
    }
    struct relay_notice *taken = *slot(notices, at);
    for (; at + 1 < count; at++) {
        *slot(notices, at) = *slot(notices, at + 1);
    }
    notices->ring.count--;
    free_if_empty(notices);
    return taken;
}

void relay_notices_shift(struct relay_notices *notices)
{
    relay_notice_unref(*slot(notices, 0));
    ring_shift(&notices->ring, 1);
    free_if_empty(notices);
}

void relay_notices_clear(struct relay_notices *notices)
{
    while (notices->ring.count > 0) {
        relay_notices_shift(notices);
    }
}
