/* SPDX-License-Identifier: MIT */
/* stream call: what the word `stream` asks of a backend. Items lie flat, one after the other, in a
 * chunk, in the form that Redis takes (store/base/resp.h): lane, tag and payload, a word each. So it
 * goes to Redis, or stays in memory, without a copy. */
#ifndef MUSTER_STORE_STREAM_CALL_H
#define MUSTER_STORE_STREAM_CALL_H

#include "store/base/buf.h"
#include "store/base/chunk.h"
#include "store/base/list.h"
#include "store/stream_types.h"

/* The name whose partition has the stream; the first part of it, where there are several (stream_part.h). */
#define STREAM_HOME SPAN("l")

/* How long a sink that does not show itself still counts as there. */
enum {
    STREAM_SINK_SECONDS = 7 * 24 * 3600,
    STREAM_KEEP_MOST = 50000, /* entries of a lane that stay because they are young */
};

/* What one caller wants stored. */
struct stream_group {
    struct list entry;
    struct chunk *items; /* a reference; NULL: given up, there are none */
    size_t count;
    uint32_t first; /* place of the first item in its call */
};

struct stream_call {
    unsigned part;
    bool spread; /* others may write to other parts: numbers are such as no other part gives */
    const struct stream_limits *limits;
    struct span node;
    uint64_t number; /* of the node's calls, from 1: the server keeps the last one's outcomes */
    uint64_t before; /* a server that lacks this earlier call does nothing, and says so */
    uint64_t seen;   /* new sequence numbers are above it */
    struct span identity; /* of the stream as the node knows it */
    struct span fresh;    /* of one that is made now */
    struct list *groups;  /* struct stream_group; borrowed */
};

/* The answer: "<state> <identity> <timeline> <last> <known> <stored> <outcomes>", where state is + for
 * done, = for done before, and - for a server that lacks calls behind `known`. */
struct stream_answer {
    bool done, before;
    struct stream_history history;
    uint64_t last, known;
    uint64_t stored;      /* sinks have all up to this seq; 0: not looked at */
    struct span outcomes; /* a letter for each group: 1 stored, 0 the bound is reached */
};

/* 0, or -1 when `text` is none. */
int stream_answer_read(struct span text, struct stream_answer *answer);

void stream_name_set(char name[STREAM_NAME], struct span text);

/* Cuts "identity timeline " off *rest. */
void stream_history_cut(struct span *rest, struct stream_history *history);

struct stream_query {
    unsigned part;
    const struct stream_from *from;
    size_t lanes;
    size_t most;
    bool back; /* one lane: `after` is the newest to be read, and they come newest first */
};

/* stream_state asks: stream.h. `fresh` is the identity of a stream that is made now. */
struct stream_marks {
    unsigned part;
    const struct stream_ask *ask;
    struct span fresh;
};

/* `items` was begun with chunk_begin. */
void stream_item_put(struct buf *items, const struct stream_item *item);

/* Cuts the next item off *rest; false at the end. */
bool stream_item_next(struct span *rest, struct stream_item *item);

/* Words of an item. */
enum { STREAM_ITEM_WORDS = 3 };

#endif
