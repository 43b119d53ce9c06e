/* SPDX-License-Identifier: MIT */
/* stream types: what callers of stream.h and backends say to each other. */
#ifndef MUSTER_STORE_STREAM_TYPES_H
#define MUSTER_STORE_STREAM_TYPES_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STREAM_LANES_MOST = 64,
    STREAM_PARTS = 16, /* of a stream, at most (stream_part.h) */
    STREAM_NAME = 24,  /* bytes for an identity or a timeline, with the NUL */
    STREAM_IDENTITY_DIGITS = 16,
};

/* Whose history numbers belong to (docs/store.md#words); empty where there is none. */
struct stream_history {
    char identity[STREAM_NAME], timeline[STREAM_NAME];
};

/* What the stream says of itself with each answer. Borrowed with it. */
struct stream_head {
    struct stream_history history;
    struct span was;   /* the identity of the stream before this one, where a writer knew it */
    struct span forks; /* "timeline seq;" for each of the last timelines: seq before it began */
};

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
    struct span node; /* the writer; empty: none known */
    uint64_t call; /* its call, and the entry's place in it: the same however often it is written */
    uint32_t index;
};

/* What became of an append, lane by lane: a bit for each. */
struct stream_result {
    enum stream_outcome {
        STREAM_STORED,
        STREAM_FULL,    /* the bound is reached: not stored */
        STREAM_REFUSED, /* by the server (out of memory), or it is away: not stored */
        STREAM_ALONE, /* too few replicas had it in time: stored by one server, which may yet lose it */
        STREAM_UNKNOWN, /* the server did not answer for some seconds: may be stored, or not */
    } outcome;          /* the last of these that is true of any lane */
    uint64_t stored;  /* the lanes whose items are stored: all, unless the outcome is another one */
    uint64_t refused; /* those whose items surely are not, and may be appended again */
};

struct stream_from {
    unsigned lane;
    uint64_t after; /* seq: what follows it is read */
};

/* `entries` are borrowed until return, lane by lane, each in order. NULL and `ok` false when there
 * was no answer. Where `head` names another history than that of the place from which was read
 * (stream_place_follow), they may be any, and are read again from the right one. */
typedef void stream_read_fn(void *arg, bool ok, const struct stream_head *head,
                            const struct stream_entry *entries, size_t count);

/* What a sink says: entries of the lane up to this one are stored for good. */
struct stream_mark {
    unsigned lane;
    uint64_t seq, ordinal;
    struct stream_history history; /* of another one than the stream's: passed over */
};

struct stream_ask {
    const struct stream_mark *marks; /* of a sink */
    size_t count;
    uint64_t keep;    /* what is marked goes, but for so many entries of each lane, the newest, */
    uint32_t keep_ms; /* and what is younger */
    uint64_t seen;    /* the greatest seq that the sink knows: new ones are above it */
    bool sink;        /* one is at work: from now on nothing goes unmarked */
    bool writers;     /* list them */
    struct span identity; /* that the caller knew, for a stream that is made now; or empty */
};

/* Borrowed until return. */
typedef void stream_append_fn(void *arg, const struct stream_result *result);

#endif
