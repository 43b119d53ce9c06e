/* SPDX-License-Identifier: MIT */
/* relay_begins: beginnings of topics that wait for one peer, the first one first. What is told to a
 * thousand peers is kept once, and each has a pointer to it: a network that meets again has a million of
 * these. */
#ifndef MUSTER_NODE_SERVICE_RELAY_BEGINS_H
#define MUSTER_NODE_SERVICE_RELAY_BEGINS_H

#include "store/base/chunk.h"
#include "store/base/ring.h"

#include <stdint.h>

struct relay_begin {
    uint32_t refs;
    uint64_t topic;
    uint64_t queued_us; /* when it was made */
    struct chunk *chunk;
};

/* New, with a reference of its own to `chunk`. */
struct relay_begin *relay_begin_new(struct chunk *chunk, uint64_t topic);
void relay_begin_unref(struct relay_begin *begin);

/* All zero is an empty one. */
struct relay_begins {
    struct ring ring; /* of struct relay_begin * */
};

void relay_begins_push(struct relay_begins *begins, struct relay_begin *begin);

/* The first one, borrowed; NULL: there is none. */
struct relay_begin *relay_begins_first(const struct relay_begins *begins);

/* Takes the first one of that topic out: the caller's reference now. NULL: there is none. */
struct relay_begin *relay_begins_take(struct relay_begins *begins, uint64_t topic);

/* Drops the first one. */
void relay_begins_shift(struct relay_begins *begins);

static inline uint32_t relay_begins_count(const struct relay_begins *begins)
{
    return begins->ring.count;
}

void relay_begins_clear(struct relay_begins *begins);

#endif
