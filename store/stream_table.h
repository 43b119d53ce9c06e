/* SPDX-License-Identifier: MIT */
/* stream table: what a store knows of its stream, of each part of it for itself; and the calls of a part,
 * by which it is appended to. */
#ifndef MUSTER_STORE_STREAM_TABLE_H
#define MUSTER_STORE_STREAM_TABLE_H

#include "store/chore.h"
#include "store/stream_types.h"

struct chunk;
struct stream_whole;

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

/* Queues a share of `whole` for the part's next call: so many items, of these lanes (a bit for each).
 * Steals the reference to `items`. */
void stream_table_queue(struct stream_table *table, struct chunk *items, size_t count,
                        uint64_t lanes, struct stream_whole *whole);

/* Is its server there, and does not too much wait for it? What waits for one server that stands still
 * leaves the others some room. */
bool stream_table_has_room(const struct stream_table *table);

/* May it be given something of which other parts get a share? What is stored there and refused here is
 * stored twice where the caller sends all of it again. */
bool stream_table_is_well(const struct stream_table *table);

/* The link of its server went up or down, or the part has another server. */
void stream_table_on_link(struct stream_table *table, bool up);

void stream_table_init(struct stream_table *table, struct store *store, unsigned part);
void stream_table_deinit(struct stream_table *table);

#endif
