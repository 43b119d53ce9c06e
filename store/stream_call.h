/* SPDX-License-Identifier: MIT */
/* stream call: what the word `stream` asks of a backend. Items lie flat, one after the other, in
 * the bytes of whoever appends them. */
#ifndef MUSTER_STORE_STREAM_CALL_H
#define MUSTER_STORE_STREAM_CALL_H

#include "store/base/buf.h"
#include "store/base/list.h"
#include "store/stream_types.h"

/* How long a sink that does not show itself still counts as there. */
enum { STREAM_SINK_SECONDS = 7 * 24 * 3600 };

/* What one caller wants stored. */
struct stream_group {
    struct list entry;
    struct buf items;
    size_t count;
};

struct stream_call {
    const struct stream_limits *limits;
    struct span node;
    uint64_t number;     /* of the node's calls, from 1: the server keeps the last one's outcomes */
    bool again;          /* it may have been carried out before */
    struct list *groups; /* struct stream_group; borrowed */
};

struct stream_query {
    const struct stream_from *from;
    size_t lanes;
    size_t most;
    bool back; /* one lane: `after` is the newest to be read, and they come newest first */
};

struct stream_marks {
    const struct stream_mark *marks;
    size_t count;
    uint64_t keep;
    bool sink;
};

void stream_item_put(struct buf *items, const struct stream_item *item);

/* Cuts the next item off *rest; false at the end. */
bool stream_item_next(struct span *rest, struct stream_item *item);

#endif
