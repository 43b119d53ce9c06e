/* SPDX-License-Identifier: MIT */
/* chore: what a store does in the next turn of the loop. */
#ifndef MUSTER_STORE_CHORE_H
#define MUSTER_STORE_CHORE_H

#include "store/base/list.h"

/* Something to look at in the next turn of the loop; queued at most once. */
struct chore {
    struct list entry;
    void (*run)(struct chore *chore);
};

#endif
