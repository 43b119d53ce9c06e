/* SPDX-License-Identifier: MIT */
/* stream follow: reads on from where the stream ends, in all its parts, each for itself: one whose server
 * is away holds up no other. Each entry comes once, whatever becomes of the servers (stream_place.h).
 *
 *     OFF --start--> ASKING (where does the part end?) --> FOLLOWING, read by position every 60 ms, or at
 *     once while there is more. OFF again when nobody wanted it for a round. */
#ifndef MUSTER_STORE_STREAM_FOLLOW_H
#define MUSTER_STORE_STREAM_FOLLOW_H

#include "store/stream_types.h"

struct store;
struct stream_follow;

enum {
    STREAM_FOLLOW_AT_ONCE = 500, /* entries of one call of `entries`, at most */
    STREAM_ENDS_MOST = 128,
};

struct stream_follow_events {
    /* Does anybody want to hear? */
    bool (*wanted)(void *arg);
    /* Shall nothing more be read for a while, since what came last is still on its way? */
    bool (*busy)(void *arg);
    /* It is known where each part ends, or its server is away. */
    void (*ready)(void *arg);
    /* New ones of one lane, in order; borrowed. */
    void (*entries)(void *arg, const struct stream_entry *entries, size_t count);
    /* So many are gone before they were read, none with a number above `last`. */
    void (*missed)(void *arg, uint64_t count, uint64_t last);
    /* The same, and nobody knows whether there were any. */
    void (*doubt)(void *arg, uint64_t last);
};

struct stream_follow_options {
    struct store *store; /* borrowed, as are all pointers */
    unsigned lanes;      /* that there are at least */
    size_t budget;       /* bytes of all lanes that may come in one turn */
    const struct stream_follow_events *events;
    void *arg;
};

struct stream_follow *stream_follow_new(const struct stream_follow_options *options)
    __attribute__((returns_nonnull, warn_unused_result));
void stream_follow_free(struct stream_follow **follow);

/* Begins, where it does not follow; `ready` is called in any case, if not at once. */
void stream_follow_start(struct stream_follow *follow);

/* As `ready` says. */
bool stream_follow_is_ready(const struct stream_follow *follow);

/* How far a lane was read. */
struct stream_end {
    unsigned lane; /* as its items name it; in several parts it may be more than once */
    unsigned part;
    uint64_t seq;
};

/* Of all lanes that are followed; STREAM_ENDS_MOST of them at most. */
size_t stream_follow_ends(const struct stream_follow *follow, struct stream_end *ends);

/* Entries before that, newest first: up to the one numbered `last`. 0, or -1 without a call of `fn`. */
int stream_end_read_back(struct store *store, const struct stream_end *end, uint64_t last,
                         size_t most, stream_read_fn *fn, void *arg)
    __attribute__((warn_unused_result));

#endif
