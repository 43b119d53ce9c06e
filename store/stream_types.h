/* SPDX-License-Identifier: MIT */
/* stream types: what callers of stream.h and backends say to each other. */
#ifndef MUSTER_STORE_STREAM_TYPES_H
#define MUSTER_STORE_STREAM_TYPES_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STREAM_LANES_MOST = 64 };

struct stream_item {
    unsigned lane;
    struct span tag; /* a short label for readers, such as the room */
    struct span payload;
};

struct stream_limits {
    unsigned lanes;   /* 1 to STREAM_LANES_MOST */
    uint64_t entries; /* bound of all lanes together */
    bool refuse;      /* at the bound; else the oldest go, unless a sink has shown itself within the
                         last week (stream_state) */
};

struct stream_entry {
    unsigned lane;
    uint64_t seq;
    uint64_t ordinal; /* counts the entries of the lane: a step of more than one is a hole */
    struct span tag, payload;
};

struct stream_from {
    unsigned lane;
    uint64_t after; /* seq: what follows it is read */
};

/* `entries` are borrowed until return, lane by lane, each in order. NULL and `ok` false when there
 * was no answer. */
typedef void stream_read_fn(void *arg, bool ok, const struct stream_entry *entries, size_t count);

/* What a sink says: entries of the lane up to this one are stored for good. */
struct stream_mark {
    unsigned lane;
    uint64_t seq, ordinal;
};

#endif
