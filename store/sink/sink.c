/* SPDX-License-Identifier: MIT */
/* The sink as a whole: its lanes, what the stream is told, the care for partitions, the end. */
#include "store/sink/sink.h"

#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/resolver/resolver.h"
#include "store/sink/impl.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    SINK_TICK_MS = 1000,
    SOON_MS = 50, /* from something stored to the stream being told */
    CARE_MS = 60 * 1000,
    DAYS_AHEAD = 3,
    WAIT_MOST_MS = 30 * 1000, /* of a batch, before the sink is not ready */
};

void sink_quote(struct buf *sql, struct span text)
{
    buf_append(sql, SPAN("'"));
    while (text.ptr != NULL) {
        struct span part = span_cut(&text, '\'');
        buf_append(sql, part);
        buf_append(sql, text.ptr != NULL ? SPAN("''") : SPAN("'"));
    }
}

void sink_trouble(struct sink *sink, char **last, const char *what, const char *text)
{
    if (text != NULL && (*last == NULL || strcmp(*last, text) != 0)) {
        sink->options.say(sink->options.arg, true, what, text);
    } else if (text == NULL && *last != NULL) {
        sink->options.say(sink->options.arg, false, what, "works again");
    }
    char *kept = text != NULL ? mem_dup(span_str(text)) : NULL;
    free(*last);
    *last = kept;
}

/* ------------------------------------------------------------------------------ the stream */

void sink_set_lanes(struct sink *sink, unsigned count)
{
    if (count <= sink->count || sink->stopping) {
        return;
    }
    sink->lanes = mem_realloc(sink->lanes, count * sizeof(struct sink_lane *));
    while (sink->count < count) {
        sink->lanes[sink->count] = sink_lane_new(sink, sink->count);
        sink->count++;
    }
}

static void finish_stop(struct sink *sink)
{
    void (*stopped)(void *) = sink->stopped;
    sink->stopped = NULL;
    event_del(sink->stop_limit);
    if (stopped != NULL) {
        stopped(sink->stopped_arg);
    }
}

static bool is_quiet(const struct sink *sink)
{
    for (unsigned i = 0; i < sink->count; i++) {
        if (!sink_lane_is_quiet(sink->lanes[i])) {
            return false;
        }
    }
    return !sink->asking;
}

static size_t gather_marks(struct sink *sink, struct stream_mark *marks)
{
    size_t count = 0;
    for (unsigned i = 0; i < sink->count && i < STREAM_LANES_MOST; i++) {
        struct sink_lane *lane = sink->lanes[i];
        if (lane->state == LANE_RUNNING && lane->seq != lane->marked) {
            marks[count++] = (struct stream_mark){i, lane->seq, lane->ordinal, lane->history};
            lane->marked = lane->seq;
        }
    }
    return count;
}

static void on_state(void *arg, const struct stream_state *state)
{
    struct sink *sink = arg;
    uint64_t now = clock_monotonic_ms();
    sink->asking = false;
    for (unsigned i = 0; i < STREAM_LANES_MOST && state != NULL; i++) {
        sink->unstored[i] = state->unstored[i];
        if (state->unstored[i] == 0) {
            sink->behind_since_ms[i] = 0;
        } else if (sink->behind_since_ms[i] == 0) {
            sink->behind_since_ms[i] = now;
        }
    }
    for (unsigned i = 0; i < sink->count && state == NULL; i++) {
        sink->lanes[i]->marked = 0; /* it may not have heard */
    }
    if (state != NULL) {
        sink_set_lanes(sink, state->lanes);
        sink_claim_note(sink, &state->head);
        sink_claim_step(sink);
    }
    if (sink->stopping && is_quiet(sink)) {
        finish_stop(sink);
    }
}

static uint64_t newest_seen(const struct sink *sink)
{
    uint64_t seen = 0;
    for (unsigned i = 0; i < sink->count; i++) {
        const struct sink_lane *lane = sink->lanes[i];
        seen = lane->state == LANE_RUNNING && lane->place.seq > seen ? lane->place.seq : seen;
    }
    return seen;
}

/* Tells the stream what is stored, and asks how it is. */
static void tell_stream(struct sink *sink)
{
    struct stream_mark marks[STREAM_LANES_MOST];
    struct stream_ask ask = {
        .marks = marks,
        .count = gather_marks(sink, marks),
        .keep = sink->options.keep / (sink->count > 0 ? sink->count : 1),
        .keep_ms = sink->options.keep_ms,
        .seen = newest_seen(sink),
        .sink = sink->claim.refused == NULL,
        .identity = span_str(sink->claim.seen),
    };
    sink->asking = stream_state(sink->options.store, &ask, on_state, sink) == 0;
    for (unsigned i = 0; i < sink->count && !sink->asking; i++) {
        sink->lanes[i]->marked = 0;
    }
}

void sink_on_landing(struct sink *sink)
{
    for (unsigned i = 0; i < sink->count && sink->flights < sink->options.parallel; i++) {
        sink_lane_step(sink->lanes[(sink->turn + i) % sink->count]);
    }
    sink->turn++;
}

void sink_on_progress(struct sink *sink)
{
    if (!sink->soon) {
        sink->soon = true;
        timer_after(sink->tick, SOON_MS);
    }
}

/* ------------------------------------------------------------------------------ partitions */

/* log_partition_make looks again once it has the lock, but PostgreSQL may still remember what it saw
 * before. */
bool sink_lost_race(const struct postgres_answer *answer)
{
    return strcmp(answer->sqlstate, "42P07") == 0; /* duplicate_table */
}

/* Days that were due a minute ago, too, are kept by a transaction that reads them. */
static void note_due(struct sink *sink, unsigned due)
{
    if (due > 0 && sink->due_before > 0 && due != sink->stats.due) {
        char text[160];
        snprintf(text, sizeof(text),
                 "%u are over their time and still there: a transaction that read log_entry is "
                 "open (pg_stat_activity says whose)",
                 due);
        sink->options.say(sink->options.arg, true, "days of log_entry", text);
    }
    sink->stats.due = due > 0 && sink->due_before > 0 ? due : 0;
    sink->due_before = due;
}

static void on_cared(void *arg, const struct postgres_answer *answer)
{
    struct sink *sink = arg;
    sink->care_at_ms = clock_monotonic_ms() + CARE_MS;
    sink_hear(&sink->patience, answer);
    if (answer->end == POSTGRES_FAILED && sink_lost_race(answer)) {
        sink->care_at_ms = 0;
    } else if (answer->end == POSTGRES_FAILED) {
        sink->care_at_ms = clock_monotonic_ms() + SINK_TICK_MS;
        sink_trouble(sink, &sink->care_trouble, "partitions",
                     strcmp(answer->sqlstate, "42883") == 0 ||
                             strcmp(answer->sqlstate, "42P01") == 0
                         ? "the schema is not there: run muster migrate"
                         : answer->text);
    } else if (answer->end == POSTGRES_DONE) {
        const char *due = postgres_value(answer, 0);
        sink_trouble(sink, &sink->care_trouble, "partitions", NULL);
        note_due(sink, due != NULL ? (unsigned)strtoul(due, NULL, 10) : 0);
    }
}

void sink_care(struct sink *sink)
{
    if (!postgres_is_idle(sink->care) || clock_monotonic_ms() < sink->care_at_ms ||
        sink->stopping) {
        return;
    }
    struct buf sql = {0};
    sink_put_session(&sql);
    buf_printf(&sql,
               "select log_partition_make((now() at time zone 'UTC')::date + n) from "
               "generate_series(0, %d) n; ",
               DAYS_AHEAD);
    if (sink->options.retention_days > 0) {
        buf_printf(&sql, "select log_partitions_due((now() at time zone 'UTC')::date - %u)",
                   sink->options.retention_days);
    } else {
        buf_append(&sql, SPAN("select 0"));
    }
    sink->care_at_ms = UINT64_MAX; /* until it is answered */
    sink_await(&sink->patience);
    postgres_query(sink->care, buf_text(&sql), NULL, 0, on_cared, sink);
    buf_free(&sql);
}

static void on_care_up(void *arg)
{
    struct sink *sink = arg;
    sink->care_up = true;
    sink->pooled = NULL;
    free(sink->backend);
    sink->backend = NULL;
    if (sink->options.store == NULL) {
        sink_trouble(sink, &sink->link_trouble, "PostgreSQL", NULL);
    }
    sink->roll.at_ms = sink->care_at_ms = 0;
    sink_call_roll(sink);
    sink_care(sink);
}

static void on_care_down(void *arg, const char *text)
{
    struct sink *sink = arg;
    sink_trouble(sink, &sink->link_trouble, "PostgreSQL", text);
    sink->care_up = false;
    sink->roll.told = 0;
    sink->claim.ask_at_ms = 0;
}

/* ------------------------------------------------------------------------------------ time */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct sink *sink = arg;
    (void)fd, (void)what;
    timer_after(sink->tick, SINK_TICK_MS);
    sink->soon = false;
    if (sink->options.store != NULL && !sink->asking) {
        tell_stream(sink);
    }
    if (sink->stopping && is_quiet(sink)) {
        finish_stop(sink);
        return;
    }
    if (sink->options.store != NULL) {
        sink_claim_step(sink);
        sink_call_roll(sink);
        sink_share_out(sink);
        sink_close_spare(sink);
    }
    sink_care(sink);
    sink_upkeep(sink);
}

static void on_stop_limit(evutil_socket_t fd, short what, void *arg)
{
    struct sink *sink = arg;
    (void)fd, (void)what;
    if (sink->options.store == NULL && sink_lane_unstored(sink->lanes[0]) > 0) {
        char text[32];
        snprintf(text, sizeof(text), "%zu", sink_lane_unstored(sink->lanes[0]));
        sink->options.say(sink->options.arg, true, "entries heard and not stored", text);
    }
    finish_stop(sink);
}

/* The longest wait that goes on: of the care, of a lane, of a batch; not of its entries, which may be
 * old because no sink stored them before. */
static uint64_t waits_ms(const struct sink *sink)
{
    uint64_t now = clock_monotonic_ms(), oldest = sink_earlier(now, sink->patience.since_ms);
    for (unsigned i = 0; i < sink->count; i++) {
        const struct sink_lane *lane = sink->lanes[i];
        oldest = sink_earlier(oldest, lane->patience.since_ms);
        oldest = sink_earlier(oldest, lane->storing->count > 0 ? lane->storing->since_ms : 0);
    }
    return now - oldest;
}

const char *sink_unready(struct sink *sink)
{
    struct buf text = {0};
    for (unsigned i = 0; i < sink->count && text.len == 0; i++) {
        const struct sink_lane *lane = sink->lanes[i];
        if (lane->stuck && lane->trouble != NULL) {
            buf_printf(&text, "nothing is stored: %s", lane->trouble);
        }
    }
    const struct sink_stats *stats = sink_stats(sink);
    if (!stats->postgres_up) {
        text.len = 0;
        buf_printf(&text, "PostgreSQL cannot be reached: %s",
                   sink->link_trouble != NULL ? sink->link_trouble : "no answer yet");
    } else if (sink->claim.refused != NULL) {
        text.len = 0;
        buf_append(&text, span_str(sink->claim.refused));
    } else if (sink->care_trouble != NULL) {
        text.len = 0;
        buf_printf(&text, "partitions cannot be made: %s", sink->care_trouble);
    } else if (sink->claim.trouble != NULL) {
        text.len = 0;
        buf_printf(&text, "the stream cannot be claimed: %s", sink->claim.trouble);
    } else if (sink->pooled != NULL) {
        text.len = 0;
        buf_printf(&text, "PostgreSQL: %s", sink->pooled);
    } else if (text.len == 0 && waits_ms(sink) > WAIT_MOST_MS) {
        buf_printf(&text, "PostgreSQL has not stored what it was given for %" PRIu64 " s",
                   waits_ms(sink) / 1000);
    }
    free(sink->unready);
    sink->unready = text.len > 0 ? mem_dup(buf_span(&text)) : NULL;
    buf_free(&text);
    return sink->unready;
}

static uint64_t lane_lag_ms(const struct sink *sink, unsigned lane)
{
    int64_t oldest = sink_lane_oldest_us(sink->lanes[lane]);
    int64_t now_us = (int64_t)clock_unix_ms() * 1000;
    if (oldest > 0) {
        return now_us > oldest ? (uint64_t)(now_us - oldest) / 1000 : 0;
    }
    uint64_t since = lane < STREAM_LANES_MOST ? sink->behind_since_ms[lane] : 0;
    return since > 0 ? clock_monotonic_ms() - since : 0;
}

const struct sink_stats *sink_stats(struct sink *sink)
{
    struct sink_stats *stats = &sink->stats;
    stats->postgres_up = sink->care_up;
    stats->lag = stats->lag_ms = 0;
    for (unsigned i = 0; i < sink->count; i++) {
        uint64_t ms = lane_lag_ms(sink, i);
        stats->lag_ms = ms > stats->lag_ms ? ms : stats->lag_ms;
        stats->lag += sink->options.store == NULL ? sink_lane_unstored(sink->lanes[i])
                      : i < STREAM_LANES_MOST     ? sink->unstored[i]
                                                  : 0;
    }
    return stats;
}

bool sink_server(const struct sink *sink, struct postgres_server *server)
{
    return postgres_server(sink->care, server);
}

struct sink *sink_new(const struct sink_options *options)
{
    static const struct postgres_events care_events = {on_care_up, on_care_down};
    struct sink *sink = mem_zalloc(sizeof(*sink));
    sink->options = *options;
    sink->tick = evtimer_new(options->base, on_tick, sink);
    sink->stop_limit = evtimer_new(options->base, on_stop_limit, sink);
    sink->resolver = resolver_new(options->base);
    sink->care = postgres_open(options->base, sink->resolver, options->uri, "muster sink care",
                               &care_events, sink);
    timer_after(sink->tick, SOON_MS);
    sink_set_lanes(sink, options->store != NULL ? options->lanes : 1);
    return sink;
}

void sink_stop(struct sink *sink, uint32_t ms, void (*done)(void *arg), void *arg)
{
    sink->stopping = true;
    sink->stopped = done;
    sink->stopped_arg = arg;
    timer_after(sink->stop_limit, ms);
    for (unsigned i = 0; i < sink->count; i++) {
        sink_lane_step(sink->lanes[i]);
    }
    timer_after(sink->tick, 0);
}

void sink_free(struct sink **sink)
{
    struct sink *gone = *sink;
    if (gone == NULL) {
        return;
    }
    *sink = NULL;
    for (unsigned i = 0; i < gone->count; i++) {
        sink_lane_free(&gone->lanes[i]);
    }
    postgres_close(&gone->care);
    postgres_close(&gone->upkeep.pg);
    resolver_free(&gone->resolver);
    free(gone->upkeep.trouble);
    free(gone->backend);
    free(gone->unready);
    event_free(gone->tick);
    event_free(gone->stop_limit);
    free(gone->claim.refused);
    free(gone->claim.trouble);
    free(gone->care_trouble);
    free(gone->link_trouble);
    free(gone->lanes);
    free(gone);
}
