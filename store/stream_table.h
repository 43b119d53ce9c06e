/* SPDX-License-Identifier: MIT */
/* stream table: what a store knows of its stream (stream.c), of each part of it for itself
 * (stream_sender.c). */
#ifndef MUSTER_STORE_STREAM_TABLE_H
#define MUSTER_STORE_STREAM_TABLE_H

#include "store/chore.h"
#include "store/stream_types.h"

struct stream_table {
    struct store *store;
    unsigned part;
    unsigned home; /* the shard where it lives, as of the last store_on_owner */
    struct chore chore;
    struct list waiting; /* struct append */
    size_t waiting_bytes;
    size_t open;        /* appends whose callers do not know what became of them */
    struct list calls;  /* struct stream_sent, by number: those kept, and the one not answered */
    struct list hollow; /* those whose items are not kept any more */
    size_t kept_bytes, hollow_count;
    uint64_t forgotten; /* the last call that is in neither list any more */
    uint64_t number;    /* the last one given out */
    uint64_t have;      /* the last call that the server is taken to have */
    uint64_t in_flight; /* number of the call under way; 0: none */
    uint64_t flown_us;  /* when it was sent */
    uint64_t seen;      /* the greatest seq that an answer named */
    uint64_t stored;    /* the greatest one up to which sinks have all, of this identity */
    uint64_t down_us;   /* when the link fell; 0: it is up */
    uint64_t unwell_us; /* when it last refused something; 0: it has taken something since */
    uint64_t entries, unstored; /* as the server said last */
    struct stream_history history;
    struct event *tick;
};

/* Which parts are there, where all are on one server (stream_sleep.h). */
struct stream_sleep {
    bool there[STREAM_PARTS]; /* as of known_ms */
    bool wanted, asking;
    uint64_t asked_ms, known_ms; /* monotonic; 0: never */
};

struct stream_tables {
    struct stream_limits limits;
    struct stream_table parts[STREAM_PARTS];
    uint64_t narrow_seen; /* the greatest seq seen in part 0 while that was all */
    struct stream_sleep sleep;
    struct list questions; /* reads and questions that wait for their answers */
};

#endif
