/* SPDX-License-Identifier: MIT */
/* memory stream: the lanes of the hub; the same rules as stream_append.lua and stream_state.lua. */
#ifndef MUSTER_STORE_MEMORY_STREAM_H
#define MUSTER_STORE_MEMORY_STREAM_H

#include "store/base/list.h"
#include "store/stream_call.h"

struct memory_lane {
    struct list entries; /* oldest first */
    uint64_t length, appended, stored;
};

struct memory_streams {
    uint64_t last;
    char identity[STREAM_NAME]; /* empty: nothing was ever appended */
    uint64_t sink_until;        /* Unix seconds */
    unsigned used;              /* lanes */
    struct memory_lane lanes[STREAM_LANES_MOST];
};

void memory_streams_init(struct memory_streams *streams);
void memory_streams_deinit(struct memory_streams *streams);

/* Appends a stream_answer as text to `answer`. */
void memory_stream_append(struct memory_streams *streams, const struct stream_call *call,
                          struct buf *answer);

/* Appends the state as text to `answer`. */
void memory_stream_state(struct memory_streams *streams, const struct stream_marks *marks,
                         struct buf *answer);

void memory_stream_read(const struct memory_streams *streams, const struct stream_query *query,
                        stream_read_fn *fn, void *arg);

#endif
