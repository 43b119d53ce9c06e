/* SPDX-License-Identifier: MIT */
/* lookup call: one call of lookup.h on its way through a backend. */
#ifndef MUSTER_STORE_LOOKUP_CALL_H
#define MUSTER_STORE_LOOKUP_CALL_H

#include "store/lookup_types.h"

struct store;

enum lookup_verb {
    LOOKUP_GET,
    LOOKUP_TOUCH,
    LOOKUP_ADD,
    LOOKUP_PUT,
    LOOKUP_SWAP,
    LOOKUP_DELETE,
};

/* What is asked; all borrowed for the call. */
struct lookup_visit {
    enum lookup_verb verb;
    struct span key; /* with prefix */
    struct span value, old;
    uint64_t life_ms;
};

/* Names the caller; the backend keeps it until the answer. */
struct lookup_call {
    struct store *store;
    struct lookup_then then;
    enum lookup_verb verb;
    const void *route; /* the backend's */
};

/* Tells the answer and frees `call`. */
void lookup_finish(struct lookup_call *call, enum lookup_result result, struct span value);

#endif
