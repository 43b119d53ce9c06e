/* SPDX-License-Identifier: MIT */
/* sink item: an entry on its way into a row, and the codec that makes one. */
#ifndef MUSTER_STORE_SINK_ITEM_H
#define MUSTER_STORE_SINK_ITEM_H

#include "store/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct sink_item {
    uint64_t seq, ordinal;
    int64_t time_us; /* server time */
    struct span payload;
    struct span node; /* the writer, its call, and the entry's place in it; empty: none known */
    uint64_t call;
    uint32_t index;
};

/* What the entries mean: handed in from above. */
struct sink_codec {
    const char *table; /* and its columns, as COPY wants them */
    /* Appends the binary row of an entry; false, with a reason, when it can be none. */
    bool (*row)(void *arg, const struct sink_item *item, struct buf *row, const char **reason);
    void *arg;
};

#endif
