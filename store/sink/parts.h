/* SPDX-License-Identifier: MIT */
/* sink parts: what struct sink is made of, each seen to by a file. */
#ifndef MUSTER_STORE_SINK_PARTS_H
#define MUSTER_STORE_SINK_PARTS_H

#include "store/stream_types.h"

struct postgres;
struct sink;
struct sink_lane;

/* The last roll call: see lease.c. */
struct sink_roll {
    uint64_t at_ms;       /* the next one, not before */
    unsigned sinks, rank; /* 0 sinks: this one is not among them */
    unsigned above;       /* calls in a row with more lanes than its share */
    unsigned unable;      /* calls in a row in which it could not serve */
    unsigned told, asked; /* lanes the others hear of, now and after this call; 0: not counted */
};

/* What sees to days that are over: see upkeep.c. */
struct sink_upkeep {
    struct postgres *pg;    /* NULL: none now */
    uint64_t at_ms;         /* the next one, not before */
    unsigned failed, count; /* of its statements */
    bool over;              /* to be closed */
    char *trouble;          /* what was said last */
};

/* Which stream is stored under the sink's name in log_stream: see claim.c. */
struct sink_claim {
    char identity[STREAM_NAME]; /* ours; empty: none, or not known yet */
    /* What the server has, and says it had before; and what PostgreSQL was asked about. */
    char wanted[STREAM_NAME], was[STREAM_NAME], asked[STREAM_NAME];
    char seen[STREAM_NAME]; /* had by this server while this process ran */
    uint64_t ask_at_ms;
    char *refused; /* why it is not ours; NULL: it is, or it is not known yet */
    char *trouble; /* why it could not be asked the last time; NULL: it could */
};

/* What is stored of one part of the stream (store/stream_part.h); without a stream there is one. */
struct sink_part {
    struct sink *sink;
    unsigned number;
    char *name; /* under which PostgreSQL knows it */
    struct sink_lane **lanes;
    unsigned count;
    struct sink_roll roll;
    struct sink_claim claim;
    bool asking;
    uint64_t ask_at_ms; /* not before, unless there is something to tell */
};

#endif
