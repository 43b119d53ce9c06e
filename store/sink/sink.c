/* SPDX-License-Identifier: MIT */
/* The sink as a whole: its lanes, what the stream is told, the care for partitions, the end. */
#include "store/sink/sink.h"

#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/resolver/resolver.h"
#include "store/sink/impl.h"
#include "store/stream_sleep.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    SINK_TICK_MS = 1000,
    SOON_MS = 50,        /* from something stored to the stream being told */
    PART_LOOK_MS = 5000, /* at a part that nobody writes to */
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

static void add_lane(struct sink_part *part)
{
    struct sink *sink = part->sink;
    struct sink_lane *lane = sink_lane_new(part, stream_part_lane(part->number, part->count));
    part->lanes[part->count++] = lane;
    sink->lanes = mem_realloc(sink->lanes, (sink->count + 1) * sizeof(struct sink_lane *));
    sink->lanes[sink->count++] = lane;
}

void sink_set_lanes(struct sink_part *part, unsigned count)
{
    unsigned most = stream_part_count(part->number, STREAM_LANES_MOST);
    count = count < most ? count : most;
    if (count <= part->count || part->sink->stopping) {
        return;
    }
    part->lanes = mem_realloc(part->lanes, count * sizeof(struct sink_lane *));
    while (part->count < count) {
        add_lane(part);
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

static bool is_asking(const struct sink *sink)
{
    bool asking = false;
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        asking = asking || sink->parts[i].asking;
    }
    return asking;
}

static bool is_quiet(const struct sink *sink)
{
    for (unsigned i = 0; i < sink->count; i++) {
        if (!sink_lane_is_quiet(sink->lanes[i])) {
            return false;
        }
    }
    return !is_asking(sink);
}

static size_t gather_marks(struct sink_part *part, struct stream_mark *marks)
{
    size_t count = 0;
    for (unsigned i = 0; i < part->count; i++) {
        struct sink_lane *lane = part->lanes[i];
        if (lane->state == LANE_RUNNING && lane->seq != lane->marked) {
            marks[count++] =
                (struct stream_mark){lane->number, lane->seq, lane->ordinal, lane->history};
            lane->marked = lane->seq;
        }
    }
    return count;
}

static void note_behind(struct sink_lane *lane, uint64_t unstored)
{
    lane->behind = unstored;
    if (unstored == 0) {
        lane->behind_since_ms = 0;
    } else if (lane->behind_since_ms == 0) {
        lane->behind_since_ms = clock_monotonic_ms();
    }
}

/* A part from a time with more servers is served until it is stored. */
static bool is_wanted(const struct sink_part *part, const struct stream_state *state)
{
    bool wanted = part->number == 0 || stream_is_spread(part->sink->options.store);
    for (unsigned i = 0; i < state->lanes; i++) {
        wanted = wanted || state->unstored[i] > 0;
    }
    return wanted;
}

static void on_state(void *arg, const struct stream_state *state)
{
    struct sink_part *part = arg;
    struct sink *sink = part->sink;
    part->asking = false;
    if (state != NULL) {
        if (is_wanted(part, state)) {
            sink_set_lanes(part, stream_part_count(part->number, state->lanes));
        }
        sink_claim_note(part, &state->head);
        sink_claim_step(part);
    }
    for (unsigned i = 0; i < part->count; i++) {
        if (state == NULL) {
            part->lanes[i]->marked = 0; /* it may not have heard */
        } else {
            note_behind(part->lanes[i], state->unstored[part->lanes[i]->number]);
        }
    }
    if (sink->stopping && is_quiet(sink)) {
        finish_stop(sink);
    }
}

static uint64_t newest_seen(const struct sink_part *part)
{
    uint64_t seen = 0;
    for (unsigned i = 0; i < part->count; i++) {
        const struct sink_lane *lane = part->lanes[i];
        seen = lane->state == LANE_RUNNING && lane->place.seq > seen ? lane->place.seq : seen;
    }
    return seen;
}

/* Tells the stream what is stored, and asks how it is. */
static void tell_part(struct sink_part *part)
{
    struct sink *sink = part->sink;
    struct stream_mark marks[STREAM_LANES_MOST];
    struct stream_ask ask = {
        .marks = marks,
        .count = gather_marks(part, marks),
        .keep = sink->options.keep / (sink->count > 0 ? sink->count : 1),
        .keep_ms = sink->options.keep_ms,
        .seen = newest_seen(part),
        .sink = part->claim.refused == NULL && part->count > 0,
        .identity = span_str(part->claim.seen),
    };
    uint64_t now = clock_monotonic_ms();
    if (part->number > 0 && ask.count == 0 && now < part->ask_at_ms) {
        return;
    }
    if (part->count == 0 && stream_part_sleeps(sink->options.store, part->number)) {
        return;
    }
    part->ask_at_ms = now + (part->count > 0 ? SINK_TICK_MS : PART_LOOK_MS);
    part->asking = stream_state(sink->options.store, part->number, &ask, on_state, part) == 0;
    for (unsigned i = 0; i < part->count && !part->asking; i++) {
        part->lanes[i]->marked = 0;
    }
}

/* Part 0 has lanes in any case, the others where the stream is spread. */
static void tell_stream(struct sink *sink)
{
    for (unsigned i = 0; i < stream_parts(sink->options.store); i++) {
        struct sink_part *part = &sink->parts[i];
        unsigned lanes = stream_part_lanes(sink->options.store, i, sink->options.lanes);
        if (i == 0 || stream_is_spread(sink->options.store)) {
            sink_set_lanes(part, stream_part_count(i, lanes));
        }
        if (!part->asking) {
            tell_part(part);
        }
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
    sink->care_at_ms = 0;
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        sink->parts[i].roll.at_ms = 0;
    }
    sink_call_roll(sink);
    sink_care(sink);
}

static void on_care_down(void *arg, const char *text)
{
    struct sink *sink = arg;
    sink_trouble(sink, &sink->link_trouble, "PostgreSQL", text);
    sink->care_up = false;
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        sink->parts[i].roll.told = 0;
        sink->parts[i].claim.ask_at_ms = 0;
    }
}

/* ------------------------------------------------------------------------------------ time */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct sink *sink = arg;
    (void)fd, (void)what;
    timer_after(sink->tick, SINK_TICK_MS);
    sink->soon = false;
    if (sink->options.store != NULL) {
        tell_stream(sink);
    }
    if (sink->stopping && is_quiet(sink)) {
        finish_stop(sink);
        return;
    }
    for (unsigned i = 0; i < STREAM_PARTS && sink->options.store != NULL; i++) {
        sink_claim_step(&sink->parts[i]);
    }
    sink_call_roll(sink);
    for (unsigned i = 0; i < STREAM_PARTS && sink->options.store != NULL; i++) {
        sink_share_out(&sink->parts[i]);
        sink_close_spare(&sink->parts[i]);
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

/* Why a part is not ours, or why that could not be asked; NULL: it is well with all. */
static const char *claim_says(const struct sink *sink, bool refused)
{
    const char *text = NULL;
    for (unsigned i = 0; i < STREAM_PARTS && text == NULL; i++) {
        const struct sink_claim *claim = &sink->parts[i].claim;
        text = refused ? claim->refused : claim->trouble;
    }
    return text;
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
    const char *refused = claim_says(sink, true), *unclaimed = claim_says(sink, false);
    if (!stats->postgres_up) {
        text.len = 0;
        buf_printf(&text, "PostgreSQL cannot be reached: %s",
                   sink->link_trouble != NULL ? sink->link_trouble : "no answer yet");
    } else if (refused != NULL) {
        text.len = 0;
        buf_append(&text, span_str(refused));
    } else if (sink->care_trouble != NULL) {
        text.len = 0;
        buf_printf(&text, "partitions cannot be made: %s", sink->care_trouble);
    } else if (unclaimed != NULL) {
        text.len = 0;
        buf_printf(&text, "the stream cannot be claimed: %s", unclaimed);
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

static uint64_t lane_lag_ms(const struct sink_lane *lane)
{
    int64_t oldest = sink_lane_oldest_us(lane);
    int64_t now_us = (int64_t)clock_unix_ms() * 1000;
    if (oldest > 0) {
        return now_us > oldest ? (uint64_t)(now_us - oldest) / 1000 : 0;
    }
    return lane->behind_since_ms > 0 ? clock_monotonic_ms() - lane->behind_since_ms : 0;
}

const struct sink_stats *sink_stats(struct sink *sink)
{
    struct sink_stats *stats = &sink->stats;
    stats->postgres_up = sink->care_up;
    stats->lag = stats->lag_ms = 0;
    for (unsigned i = 0; i < sink->count; i++) {
        uint64_t ms = lane_lag_ms(sink->lanes[i]);
        stats->lag_ms = ms > stats->lag_ms ? ms : stats->lag_ms;
        stats->lag += sink->options.store == NULL ? sink_lane_unstored(sink->lanes[i])
                                                  : sink->lanes[i]->behind;
    }
    return stats;
}

bool sink_server(const struct sink *sink, struct postgres_server *server)
{
    return postgres_server(sink->care, server);
}

/* A prefix has no braces, so no other fleet's stream has such a name. */
static void part_init(struct sink_part *part, struct sink *sink, unsigned number)
{
    struct buf name = {0};
    buf_append(&name, span_str(sink->options.stream));
    if (number > 0) {
        buf_printf(&name, "{%u}", number);
    }
    part->sink = sink;
    part->number = number;
    part->name = mem_dup(buf_span(&name));
    buf_free(&name);
}

static void part_deinit(struct sink_part *part)
{
    free(part->name);
    free(part->lanes);
    free(part->claim.refused);
    free(part->claim.trouble);
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
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        part_init(&sink->parts[i], sink, i);
    }
    sink_set_lanes(&sink->parts[0], options->store != NULL
                                        ? stream_part_lanes(options->store, 0, options->lanes)
                                        : 1);
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
    free(gone->care_trouble);
    free(gone->link_trouble);
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        part_deinit(&gone->parts[i]);
    }
    free(gone->lanes);
    free(gone);
}
