/* SPDX-License-Identifier: MIT */
/* relay_notices: beginnings and ends of topics that wait for one peer, the first one first. What is told to a
 * thousand peers is kept once, and each has a pointer to it: a network that meets again has a million of
 * these. */
#ifndef MUSTER_NODE_SERVICE_RELAY_NOTICES_H
#define MUSTER_NODE_SERVICE_RELAY_NOTICES_H

#include "store/base/chunk.h"
#include "store/base/ring.h"

#include <stdbool.h>
#include <stdint.h>

enum relay_paced_kind {
    PACED_BEGIN, /* of a topic; never dropped, but with its end */
    PACED_TALK,  /* may be dropped */
    PACED_END,   /* of a topic; never dropped, but with its beginning */
};

/* What a message is about. */
struct relay_paced_mark {
    uint64_t topic;
    enum relay_paced_kind kind;
};

struct relay_notice {
    uint32_t refs;
    struct relay_paced_mark mark; /* a beginning or an end */
    uint64_t queued_us;           /* when it was made */
    struct chunk *chunk;
};

/* New, with a reference of its own to `chunk`. */
struct relay_notice *relay_notice_new(struct chunk *chunk, struct relay_paced_mark mark);
void relay_notice_unref(struct relay_notice *notice);

/* All zero is an empty one. */
struct relay_notices {
    struct ring ring; /* of struct relay_notice * */
};

void relay_notices_push(struct relay_notices *notices, struct relay_notice *notice);

/* The first one, borrowed; NULL: there is none. */
struct relay_notice *relay_notices_first(const struct relay_notices *notices);

/* Is one of that topic among them? */
bool relay_notices_has(const struct relay_notices *notices, uint64_t topic);

/* Takes the first one of that topic out: the caller's reference now. NULL: there is none. */
struct relay_notice *relay_notices_take(struct relay_notices *notices, uint64_t topic);

/* Drops the first one. */
void relay_notices_shift(struct relay_notices *notices);

static inline uint32_t relay_notices_count(const struct relay_notices *notices)
{
    return notices->ring.count;
}

void relay_notices_clear(struct relay_notices *notices);

#endif
