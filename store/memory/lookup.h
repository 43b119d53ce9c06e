/* SPDX-License-Identifier: MIT */
/* memory lookup: the keys of lookup.h, for the hub. Keys whose time is over are as good as gone at
 * once, and freed a little with each visit. */
#ifndef MUSTER_STORE_MEMORY_LOOKUP_H
#define MUSTER_STORE_MEMORY_LOOKUP_H

#include "store/base/buf.h"
#include "store/base/list.h"
#include "store/base/map.h"
#include "store/lookup_call.h"

enum { LOOKUP_SLOTS = 256 };

struct memory_lookups {
    struct map keys;
    struct list slots[LOOKUP_SLOTS]; /* entries by the time they are looked at again */
    uint64_t tick;                   /* the slots before it have been looked at */
    struct buf value;                /* of the last answer */
};

void memory_lookups_init(struct memory_lookups *lookups);
void memory_lookups_deinit(struct memory_lookups *lookups);

/* Carries out `visit`. *value is borrowed until the next one. */
enum lookup_result memory_lookup_visit(struct memory_lookups *lookups,
                                       const struct lookup_visit *visit, struct span *value);

#endif
