/* SPDX-License-Identifier: MIT */
/* wire: the number of the form in which nodes speak to each other, W (docs/store.md#wire-version). It stands
 * in the roll of each server (store/redis/roll.lua), at the front of every message of the bus and
 * in the head of every key. A reader passes over fields that it does not know.
 *
 * A new form takes two releases: one that reads it and writes the old one, and one that writes it
 * when all of the fleet reads it. */
#ifndef MUSTER_STORE_WIRE_H
#define MUSTER_STORE_WIRE_H

#include "store/base/decimal.h"
#include "store/base/span.h"

#include <stdbool.h>

enum {
    STORE_WIRE_FROM = 1, /* the oldest form that this program reads, */
    STORE_WIRE_TO = 1,   /* and the newest; what scripts put into heads of keys */
    STORE_WIRE_PARTS =
        2, /* what the roll says beside: messages and keys are as in 1, but the log stream
                             may lie in several parts (store/stream_part.h) */
    STORE_WIRE_MOST = 9, /* it is one digit */
};

/* What was in a form that cannot be read, or would not have been. */
enum wire_unread { WIRE_NODE, WIRE_MESSAGE, WIRE_KEY, WIRE_KINDS };

/* The forms that a store reads; those of the program but in tests. */
struct wire_range {
    unsigned from, to;
};

/* Cuts "W " off *bytes. False where that is no form between STORE_WIRE_FROM and STORE_WIRE_TO. */
static inline bool wire_cut(struct span *bytes, struct wire_range range)
{
    bool good = bytes->len >= 2 && bytes->ptr[1] == ' ' && bytes->ptr[0] >= '0' + (int)range.from &&
                bytes->ptr[0] <= '0' + (int)range.to;
    *bytes = good ? span_skip(*bytes, 2) : *bytes;
    return good;
}

static inline struct wire_range wire_own(void)
{
    return (struct wire_range){STORE_WIRE_FROM, STORE_WIRE_TO};
}

#endif
