/* SPDX-License-Identifier: MIT */
/* lookup types: what callers of lookup.h and backends say to each other. */
#ifndef MUSTER_STORE_LOOKUP_TYPES_H
#define MUSTER_STORE_LOOKUP_TYPES_H

#include "store/base/span.h"

#include <stdint.h>

enum lookup_result {
    LOOKUP_DONE,   /* as asked */
    LOOKUP_ABSENT, /* get, touch, swap, delete: there is no such key */
    LOOKUP_TAKEN,  /* add: the key is there; swap: it holds another value */
    LOOKUP_LOST,   /* the link fell, or the server refused: done or not, the store cannot tell */
};

/* `value` is borrowed until return: what get and touch found, what was there before put, what a
 * swap found instead; else empty. */
typedef void lookup_fn(void *arg, uint64_t tag, enum lookup_result result, struct span value);

/* The function that gets the answer, from the event loop, exactly once, but not after store_close.
 * `tag` is given back to it: it names the caller's object by a number that outlives it. */
struct lookup_then {
    lookup_fn *fn; /* NULL: no function */
    void *arg;
    uint64_t tag;
};

#endif
