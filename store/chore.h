/* SPDX-License-Identifier: MIT */
/* chore: work for the next turns of the loop, some of it in each. */
#ifndef MUSTER_STORE_CHORE_H
#define MUSTER_STORE_CHORE_H

#include "store/base/list.h"
#include "store/base/map.h"

struct store;

/* Something to look at in the next turn of the loop; queued at most once. */
struct chore {
    struct list entry;
    void (*run)(struct chore *chore);
};

/* A walk over all that is in a map, in steps (store/sweep.h). */
struct sweep {
    struct chore chore;
    struct store *store;
    const struct map *map;
    map_visit_fn *fn; /* its arg is the store */
    uint32_t cursor;
    bool again; /* another round behind this one */
};

/* It runs in one of the next turns, once, behind those that were kicked before it. */
void store_kick(struct store *store, struct chore *chore);

#endif
