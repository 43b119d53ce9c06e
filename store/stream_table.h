/* SPDX-License-Identifier: MIT */
/* stream table: what a store knows of its stream (stream.c). */
#ifndef MUSTER_STORE_STREAM_TABLE_H
#define MUSTER_STORE_STREAM_TABLE_H

#include "store/chore.h"
#include "store/stream_types.h"

struct stream_table {
    unsigned home; /* the shard where it lives, as of the last store_on_owner */
    struct stream_limits limits;
    struct chore chore;
    struct list waiting; /* struct append */
    size_t waiting_bytes;
    struct list calls;  /* struct stream_sent, by number: those kept, and the one not answered */
    struct list hollow; /* those whose items are not kept any more */
    size_t kept_bytes, hollow_count;
    uint64_t forgotten; /* the last call that is in neither list any more */
    uint64_t number;    /* the last one given out */
    uint64_t have;      /* the last call that the server is taken to have */
    uint64_t in_flight; /* number of the call under way; 0: none */
    uint64_t seen;      /* the greatest seq that an answer named */
    uint64_t stored;    /* the greatest one up to which sinks have all, of this identity */
    uint64_t down_us;   /* when the link fell; 0: it is up */
    struct stream_history history;
    struct list questions; /* reads and questions that wait for their answers */
    struct event *tick;
};

#endif
