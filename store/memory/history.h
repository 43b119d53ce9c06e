/* SPDX-License-Identifier: MIT */
/* memory history: what history.lua does, for the hub. The two are kept alike; the contract tests
 * run against both. */
#ifndef MUSTER_STORE_MEMORY_HISTORY_H
#define MUSTER_STORE_MEMORY_HISTORY_H

#include "store/backend.h"
#include "store/base/buf.h"
#include "store/base/map.h"

struct memory_histories {
    struct map keys;
};

void memory_histories_init(struct memory_histories *histories);
void memory_histories_deinit(struct memory_histories *histories);

/* Carries out `call`; appends the answer, and the note to publish when entries were taken. */
void memory_history_call(struct memory_histories *histories, const struct history_call *call,
                         struct buf *answer, struct buf *news);

#endif
