/* SPDX-License-Identifier: MIT */
/* roster member: one entry of a roster, and what watchers hear of it. */
#ifndef MUSTER_STORE_ROSTER_MEMBER_H
#define MUSTER_STORE_ROSTER_MEMBER_H

#include "store/base/span.h"

enum roster_event {
    ROSTER_SET,     /* `member` is new or has a new value */
    ROSTER_GONE,    /* `member` was released or its lease ran out; its last value is given */
    ROSTER_CHANGED, /* after the SETs and GONEs of one version: the view is whole */
    ROSTER_CURRENT, /* what this store claimed and released of the key so far is in the view (also
                       after a claim that changed nothing); the first view of a watch ends with it
                       too */
    ROSTER_STALE,   /* the server cannot be reached, or refuses: the view may be old until the next
                       ROSTER_CURRENT */
};

struct roster_member {
    struct span name;  /* 1 to 256 bytes, any but NUL */
    struct span value; /* up to 64 KiB, any bytes */
};

#endif
