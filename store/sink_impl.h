/* What sink.c and sink_lane.c share; nobody else includes it. */
#ifndef MUSTER_STORE_SINK_IMPL_H
#define MUSTER_STORE_SINK_IMPL_H

#include "store/base/backoff.h"
#include "store/base/mem.h"
#include "store/postgres.h"
#include "store/sink.h"
#include "store/stream.h"

enum lane_state {
    LANE_DOWN,    /* no session */
    LANE_LOCKING, /* asks for the lock, again and again */
    LANE_FINDING, /* has it, and asks where the lane stands */
    LANE_RUNNING,
};

struct sink_lane {
    struct sink *sink;
    unsigned number;
    struct postgres *pg;
    enum lane_state state;
    uint64_t seq, ordinal; /* stored */
    uint64_t read_seq, read_ordinal;
    uint64_t marked; /* seq that the stream was told */
    bool reading;
    uint32_t generation; /* of the session: what was read for an older one is let fall */
    uint32_t read_generation;
    size_t read_most;
    uint64_t read_at_ms; /* not before */
    uint64_t retry_at_ms;
    struct backoff backoff;
    struct sink_batch batches[2];
    struct sink_batch *filling, *flying;
    size_t at;    /* the first row of `flying` that is not stored */
    size_t run;   /* rows under way */
    size_t limit; /* rows that may go together: halved to find a bad one */
    int64_t day;  /* whose partition is there; -1: none known */
    unsigned partition_errors;
    bool flying_now; /* counted in sink->flights */
    bool ascii;      /* the raw text of a dead letter itself was refused */
    char *trouble;   /* what was said last */
    struct event *timer;
    size_t entry_bytes; /* of late, on average */
};

struct sink {
    struct sink_options options;
    struct sink_stats stats;
    struct sink_lane **lanes;
    unsigned count;
    unsigned flights;      /* lanes with a transaction under way */
    unsigned turn;         /* the lane that is asked first when one ends */
    struct postgres *care; /* partitions */
    bool care_up;
    uint64_t care_at_ms;
    char *care_trouble;
    bool asking;
    bool soon; /* the tick was brought forward */
    struct event *tick;
    uint64_t unstored[STREAM_LANES_MOST];
    uint64_t behind_since_ms[STREAM_LANES_MOST];
    bool stopping;
    struct event *stop_limit;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

struct sink_lane *lane_new(struct sink *sink, unsigned number);
void lane_free(struct sink_lane **lane);
/* Nothing of it is under way. */
bool lane_is_quiet(const struct sink_lane *lane);
/* Looks at what is to be done. */
void lane_step(struct sink_lane *lane);
/* Microseconds since 1970 of the oldest entry that it holds unstored; 0: none. */
int64_t lane_oldest_us(const struct sink_lane *lane);

/* Another lane may send now. */
void sink_on_landing(struct sink *sink);
/* A lane has stored something, or become quiet. */
void sink_on_progress(struct sink *sink);
/* Says `text` unless it was the last thing said there. */
void sink_trouble(struct sink *sink, char **last, const char *what, const char *text);

/* Appends `text` as an SQL literal. */
void sink_quote(struct buf *sql, struct span text);

#endif
