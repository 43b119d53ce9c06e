/* SPDX-License-Identifier: MIT */
/* What sink.c, lane.c, read.c, lease.c and upkeep.c share; no other file includes it. */
#ifndef MUSTER_STORE_SINK_IMPL_H
#define MUSTER_STORE_SINK_IMPL_H

#include "store/base/backoff.h"
#include "store/base/mem.h"
#include "store/postgres/postgres.h"
#include "store/sink/batch.h"
#include "store/sink/parts.h"
#include "store/sink/patience.h"
#include "store/sink/phase.h"
#include "store/sink/sink.h"
#include "store/stream_part.h"
#include "store/stream_place.h"
#include "store/stream_read.h"

struct sink_lane {
    struct sink *sink;
    struct sink_part *part;
    unsigned number;
    uint64_t behind, behind_since_ms; /* entries that no sink has stored, as the stream says */
    struct postgres *pg;              /* NULL: off */
    enum lane_state state;
    uint64_t seq, ordinal;         /* stored; without a stream, seq too counts what was fed */
    struct stream_history history; /* that they belong to */
    uint64_t fed;
    uint64_t ask_at_ms, retry_at_ms; /* not before: for the lock or the place; for storing */
    struct stream_place place;       /* read up to here; in another history than what is stored only
                                        when nothing waits to be stored */
    struct stream_history going;     /* where a transaction without rows moves it */
    uint64_t going_seq, going_ordinal;
    bool turning;    /* the server is in another history: what waits is stored first */
    uint64_t marked; /* seq that the stream was told */
    bool reading;
    uint32_t generation, read_generation; /* of the session: what an older one read is dropped */
    uint64_t read_at_ms;                  /* not before */
    size_t read_most;
    struct backoff backoff;
    struct sink_batch batches[2], *filling, *storing;
    size_t at, run; /* the first row of `storing` that is not stored; rows under way */
    size_t limit;   /* rows that may go together: halved to find a bad one */
    int64_t day;    /* whose partition is there; -1: none known */
    unsigned partition_errors;
    enum sink_sending sending;
    struct sink_patience patience; /* for a session, or an answer about what it stores */
    bool stuck;                    /* the last try failed, and no row was at fault */
    bool ascii;                    /* the raw text of a dead letter itself was refused */
    char *trouble;                 /* what was said last */
    struct event *timer;
    size_t entry_bytes; /* of late, on average */
};

struct sink {
    struct sink_options options;
    struct resolver *resolver; /* of all its sessions */
    struct sink_stats stats;
    struct sink_part parts[STREAM_PARTS];
    struct sink_lane **lanes; /* of all parts */
    unsigned count, flights;  /* of lanes; with a transaction under way */
    unsigned turn;            /* the lane that is asked first when one ends */
    struct postgres *care;    /* partitions */
    bool care_up, stopping;
    uint64_t care_at_ms;
    struct sink_patience patience; /* of the care session */
    struct sink_upkeep upkeep;
    unsigned due_before; /* days that were due at the last care */
    char *backend;       /* the care session's, when the roll was called last */
    const char *pooled;  /* what is wrong when it has changed inside the session; else NULL */
    char *unready;       /* the last answer of sink_unready */
    char *care_trouble, *link_trouble;
    bool soon; /* the tick was brought forward */
    struct event *tick;
    struct event *stop_limit;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* lane.c */
struct sink_lane *sink_lane_new(struct sink_part *part, unsigned number);
void sink_lane_free(struct sink_lane **lane);
/* Entries that it holds, and that are not known to be stored. */
size_t sink_lane_unstored(const struct sink_lane *lane);
/* Nothing of it is under way. */
bool sink_lane_is_quiet(const struct sink_lane *lane);
/* Looks at what is to be done: now; then. */
void sink_lane_step(struct sink_lane *lane);
void sink_lane_wake(struct sink_lane *lane, uint64_t at_ms);
/* The lane is ours, and stands there, in the history and with the writers that lane->place has. */
void sink_lane_run_from(struct sink_lane *lane, uint64_t seq, uint64_t ordinal);
/* Drops what was read; what was fed stays. */
void sink_lane_forget(struct sink_lane *lane);
/* Microseconds since 1970 of the oldest entry that it holds unstored; 0: none. */
int64_t sink_lane_oldest_us(const struct sink_lane *lane);

/* Without a stream: entries come by sink_feed. */
static inline bool lane_is_fed(const struct sink_lane *lane)
{
    return lane->sink->options.store == NULL;
}

/* read.c: reads on from where the lane was read to, when there is room and it is time. */
void sink_lane_read_more(struct sink_lane *lane, uint64_t now_ms);

/* lease.c: wants a session, and the lock. */
void sink_lane_open(struct sink_lane *lane);
/* For a lane that finds its place, or leaves: what comes next. */
void sink_lane_lease_step(struct sink_lane *lane);
/* Asks for lanes up to the sink's share. */
void sink_share_out(struct sink_part *part);
/* Ends sessions that are not needed any more; not inside a call of one. */
void sink_close_spare(struct sink_part *part);
/* Of each part once a second, when the care session is idle. */
void sink_call_roll(struct sink *sink);
/* Appends what every session of the sink begins with. */
void sink_put_session(struct buf *sql);

/* claim.c: the server has this stream; asks whether it is ours, when it is time. */
void sink_claim_note(struct sink_part *part, const struct stream_head *head);
void sink_claim_step(struct sink_part *part);
bool sink_claim_is_ours(const struct sink_part *part, const struct stream_head *head);

/* sink.c */
/* Sees to the partitions when it is time and the care session is idle. */
void sink_care(struct sink *sink);
/* The part has at least so many lanes. */
void sink_set_lanes(struct sink_part *part, unsigned count);
/* Making a partition failed because another session has just made it: try again. */
bool sink_lost_race(const struct postgres_answer *answer);
/* Another lane may send now. */
void sink_on_landing(struct sink *sink);
/* A lane has stored something, or become quiet. */
void sink_on_progress(struct sink *sink);
/* Says `text` unless it was the last thing said there. */
void sink_trouble(struct sink *sink, char **last, const char *what, const char *text);

/* upkeep.c: once a second, opens and closes the session that sees to the days. */
void sink_upkeep(struct sink *sink);
/* Appends `text` as an SQL literal. */
void sink_quote(struct buf *sql, struct span text);

#endif
