/* SPDX-License-Identifier: MIT */
/* sink: moves the stream into PostgreSQL, each entry exactly once.
 *
 *     lane of the stream --read--> batch --COPY and the lane's new position, one transaction-->
 *     table, log_lane              --mark--> the stream may forget
 *
 * A lane is served over its own PostgreSQL session, which holds the lane's advisory lock: the sink
 * that has the lock serves the lane, and a sink that loses the session has lost both. The sinks
 * that can serve share the lanes evenly. Where a lane stands is only in PostgreSQL. After any doubt
 * (a COMMIT without an answer, too) the lane starts again from there; and the transaction itself
 * fails unless the lane stands where the sink thinks.
 *
 * Without a stream there is one lane, whose place is how many of the entries fed so far are stored:
 * after a doubt those that are not are sent again, and no others.
 *
 * Rows that PostgreSQL will not take are found by halving and go to log_entry_rejected. */
#ifndef MUSTER_STORE_SINK_SINK_H
#define MUSTER_STORE_SINK_SINK_H

#include "store/postgres/postgres.h"
#include "store/sink/item.h"
#include "store/store.h"

struct sink;

/* Counts since the start, and how it is now. */
struct sink_stats {
    uint64_t rows, bytes, batches;
    uint64_t rejected;
    uint64_t errors;   /* transactions that failed */
    uint64_t lost;     /* sessions lost with a transaction under way */
    uint64_t repeated; /* entries that were stored before, read again after a fork */
    uint64_t missed;   /* entries gone from the stream before they were read */
    unsigned lanes;    /* held now */
    uint64_t lag;      /* entries of the stream not yet stored */
    uint64_t lag_ms;   /* age of the oldest of them */
    unsigned due;      /* days past the retention that are still there */
    bool postgres_up;
};

struct sink_options {
    struct event_base *base; /* borrowed, as are all pointers */
    struct store *store;     /* NULL: entries are fed by sink_feed, not read from a stream */
    const char *uri;         /* of PostgreSQL */
    const char *stream;      /* its name in log_lane: the fleet's prefix; for a sink without a
                                stream "from " and a name that no other has, nor had */
    unsigned lanes;          /* at least; more when the stream has more */
    size_t rows, bytes;      /* most of one transaction */
    unsigned parallel;       /* transactions at once: more of them only get in each other's way */
    uint32_t age_ms;         /* longest wait for more to come */
    uint64_t keep;           /* stored entries that stay in the stream, in all, */
    uint32_t keep_ms;        /* and for how long all stay */
    unsigned retention_days; /* 0: for ever */
    bool search;             /* days that are over get an index of their words */
    struct sink_codec codec;
    /* Something a person may want to know. */
    void (*say)(void *arg, bool bad, const char *what, const char *text);
    void *arg;
};

struct sink *sink_new(const struct sink_options *options)
    __attribute__((returns_nonnull, warn_unused_result));

/* Ends what is under way, lets go of the lanes, and calls `done`; within `ms` in any case. What was
 * fed and is not stored by then is lost, and said. */
void sink_stop(struct sink *sink, uint32_t ms, void (*done)(void *arg), void *arg);
void sink_free(struct sink **sink);

/* For a sink without a stream. The item is taken in any case; false: no more for a while, please.
 */
bool sink_feed(struct sink *sink, const struct sink_item *item);
/* Whether it would say so now. */
bool sink_has_room(const struct sink *sink);

/* Why nothing can be stored now, for a person, or NULL: the last thing asked of PostgreSQL failed for
 * a reason that is no entry's fault, or an entry has waited longer than half a minute. Borrowed
 * until the next call. */
const char *sink_unready(struct sink *sink);

/* Which server of PostgreSQL this sink has a session with. False: none. */
bool sink_server(const struct sink *sink, struct postgres_server *server);

/* As of now; borrowed until the next call. */
const struct sink_stats *sink_stats(struct sink *sink);

/* Asks the database, and waits for it: 1 when it stores the stream of another fleet under the name
 * `stream`, and a sink of this one (`identity`, and `was` before it; docs/store.md) would be refused;
 * 0 when not; -1 with a message in `error`. */
int sink_is_foreign(const char *uri, const char *stream, const char *identity, const char *was,
                    char *error, size_t error_size) __attribute__((warn_unused_result));

#endif
