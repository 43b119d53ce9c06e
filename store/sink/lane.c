/* SPDX-License-Identifier: MIT */
/*  A lane that is ours (how it came to be: lease.c):
 *
 *  stream --> filling; filling, when ripe and nothing is stored --> storing, a run at a time -->
 *  PostgreSQL. */
#include "store/sink/impl.h"
#include "store/sink/writers.h"

#include "store/base/check.h"
#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/postgres/row.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    SINK_LANE_LOOK_MS = 1000,
    SINK_LANE_BACKOFF_FIRST_MS = 100,
    SINK_LANE_BACKOFF_MOST_MS = 5000,
    FEED_FACTOR = 32, /* batches that a fed sink holds while PostgreSQL is away */
};

/* Where the lane stands once `row` is stored. */
static uint64_t place_of(const struct sink_lane *lane, const struct sink_row *row)
{
    return lane_is_fed(lane) ? row->ordinal : row->seq;
}

void sink_lane_wake(struct sink_lane *lane, uint64_t at_ms)
{
    uint64_t now = clock_monotonic_ms();
    uint64_t ms = at_ms > now ? at_ms - now : 0;
    timer_after(lane->timer, ms);
}

static void clear(const struct sink_lane *lane, struct sink_batch *batch)
{
    sink_batch_clear(batch, lane->sink->options.bytes);
}

static void set_sending(struct sink_lane *lane, enum sink_sending sending)
{
    if (sending != SENDING_NOTHING) {
        sink_await(&lane->patience);
    }
    lane->sink->flights -= lane->sending == SENDING_ROWS;
    lane->sink->flights += sending == SENDING_ROWS;
    lane->sending = sending;
}

/* PostgreSQL has answered. false: the session broke instead, and sink_lane_forget comes next. */
static bool has_landed(struct sink_lane *lane, const struct postgres_answer *answer)
{
    sink_hear(&lane->patience, answer);
    if (answer->end != POSTGRES_LOST) {
        set_sending(lane, SENDING_NOTHING);
    }
    return answer->end != POSTGRES_LOST;
}

void sink_lane_forget(struct sink_lane *lane)
{
    bool flew = lane->sending == SENDING_ROWS;
    set_sending(lane, SENDING_NOTHING);
    lane->run = 0;
    if (!lane_is_fed(lane)) {
        clear(lane, lane->storing);
        clear(lane, lane->filling);
        lane->at = 0;
    }
    if (flew) {
        sink_on_landing(lane->sink);
    }
}

/* ------------------------------------------------------------------------------------ sending */

static void trouble(struct sink_lane *lane, const struct postgres_answer *answer)
{
    sink_trouble(lane->sink, &lane->trouble, "storing log entries", answer->text);
}

static void retry_later(struct sink_lane *lane)
{
    lane->stuck = true;
    lane->retry_at_ms = clock_monotonic_ms() + backoff_next(&lane->backoff);
    sink_lane_step(lane);
}

/* Errors that the row itself is at fault for: data exceptions, broken constraints, program limits.
 */
static bool is_row_at_fault(const char *sqlstate)
{
    return strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0 ||
           strncmp(sqlstate, "54", 2) == 0;
}

static void on_failed(struct sink_lane *lane, const struct postgres_answer *answer)
{
    lane->sink->stats.errors++;
    trouble(lane, answer);
    if (strcmp(answer->sqlstate, "MU001") == 0) {
        postgres_reset(lane->pg, "the lane was moved by somebody else");
    } else if (strcmp(answer->sqlstate, "23514") == 0 && lane->partition_errors++ == 0) {
        lane->day = -1; /* its partition was dropped: make it again */
        sink_lane_step(lane);
    } else if (!is_row_at_fault(answer->sqlstate)) {
        retry_later(lane);
    } else if (lane->run > 1) {
        lane->limit = lane->run / 2;
        sink_lane_step(lane);
    } else if (lane->storing->row[lane->at].reason == NULL) {
        lane->storing->row[lane->at].reason = "refused by PostgreSQL";
        sink_lane_step(lane);
    } else {
        lane->ascii = true; /* even as a dead letter */
        retry_later(lane);
    }
}

/* `stored` entries from lane->at on are done with. */
static void move_on(struct sink_lane *lane, size_t stored)
{
    const struct sink_row *last = &lane->storing->row[lane->at + stored - 1];
    size_t rows = lane->sink->options.rows;
    lane->seq = place_of(lane, last);
    lane->ordinal = last->ordinal;
    lane->history = lane->place.history;
    lane->at += stored;
    lane->run = 0;
    lane->stuck = false;
    lane->limit = lane->limit * 2 < rows ? lane->limit * 2 : rows;
    lane->partition_errors = 0;
    lane->ascii = false;
    backoff_reset(&lane->backoff);
    if (lane->at == lane->storing->count) {
        clear(lane, lane->storing);
        lane->at = 0;
    }
    sink_on_progress(lane->sink);
    sink_lane_step(lane);
}

static void on_copied(void *arg, const struct postgres_answer *answer)
{
    struct sink_lane *lane = arg;
    struct sink_stats *stats = &lane->sink->stats;
    if (!has_landed(lane, answer)) {
        return;
    }
    if (answer->end == POSTGRES_FAILED) {
        on_failed(lane, answer);
    } else {
        stats->rows += lane->run;
        stats->bytes += sink_batch_rows(lane->storing, lane->at, lane->run).len;
        stats->batches++;
        if (lane->trouble != NULL) {
            sink_trouble(lane->sink, &lane->trouble, "storing log entries", NULL);
        }
        move_on(lane, lane->run);
    }
    sink_on_landing(lane->sink);
}

static void on_rejected(void *arg, const struct postgres_answer *answer)
{
    struct sink_lane *lane = arg;
    if (!has_landed(lane, answer)) {
        return;
    }
    if (answer->end == POSTGRES_FAILED) {
        on_failed(lane, answer);
    } else {
        const char *why = lane->storing->row[lane->at].reason;
        lane->sink->stats.rejected++;
        lane->sink->options.say(lane->sink->options.arg, true, "log entry rejected",
                                lane->trouble != NULL ? lane->trouble : why);
        free(lane->trouble);
        lane->trouble = NULL;
        move_on(lane, 1);
    }
}

static void on_partition(void *arg, const struct postgres_answer *answer)
{
    struct sink_lane *lane = arg;
    if (!has_landed(lane, answer)) {
        return;
    }
    if (answer->end == POSTGRES_DONE) {
        lane->day = sink_day(lane->storing->row[lane->at].time_us);
        sink_lane_step(lane);
    } else if (sink_lost_race(answer)) {
        sink_lane_step(lane);
    } else {
        trouble(lane, answer);
        retry_later(lane);
    }
}

static void put_move_to(const struct sink_lane *lane, struct buf *sql, uint64_t seq,
                        uint64_t ordinal)
{
    buf_append(sql, SPAN("select log_lane_move("));
    sink_quote(sql, span_str(lane->part->name));
    buf_printf(sql, ", %u, %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", ", lane->number, lane->seq, seq,
               ordinal);
    sink_quote(sql, span_str(lane->place.history.identity));
    buf_append(sql, SPAN(", "));
    sink_quote(sql, span_str(lane->place.history.timeline));
    buf_append(sql, SPAN("); "));
}

/* The lane, and its writers, behind `count` rows that are being stored. */
static void put_move(const struct sink_lane *lane, struct buf *sql, size_t count)
{
    const struct sink_row *to = &lane->storing->row[lane->at + count - 1];
    put_move_to(lane, sql, place_of(lane, to), to->ordinal);
    sink_writers_put(lane, sql, lane->at, count);
}

static void on_moved(void *arg, const struct postgres_answer *answer)
{
    struct sink_lane *lane = arg;
    if (!has_landed(lane, answer)) {
        return;
    }
    if (answer->end == POSTGRES_FAILED && strcmp(answer->sqlstate, "MU001") != 0) {
        trouble(lane, answer);
        retry_later(lane);
    } else if (answer->end == POSTGRES_FAILED) {
        on_failed(lane, answer);
    } else {
        lane->seq = lane->going_seq;
        lane->ordinal = lane->going_ordinal;
        lane->history = lane->going;
        sink_on_progress(lane->sink);
        sink_lane_step(lane);
    }
}

/* Nothing waits to be stored, and what was read last needed no storing: entries that were had before,
 * or a place that moved back. */
static bool has_place_to_store(const struct sink_lane *lane)
{
    const struct stream_place *place = &lane->place;
    return !lane_is_fed(lane) && sink_lane_unstored(lane) == 0 &&
           place->history.identity[0] != '\0' &&
           (lane->seq != place->seq ||
            memcmp(&lane->history, &place->history, sizeof(lane->history)) != 0);
}

static void send_place(struct sink_lane *lane)
{
    struct buf sql = {0};
    lane->going_seq = lane->place.seq;
    lane->going_ordinal = lane->place.ordinal;
    lane->going = lane->place.history;
    put_move_to(lane, &sql, lane->going_seq, lane->going_ordinal);
    set_sending(lane, SENDING_PLACE);
    postgres_query(lane->pg, buf_text(&sql), NULL, 0, on_moved, lane);
    buf_free(&sql);
}

static void send_partition(struct sink_lane *lane, int64_t day)
{
    struct buf sql = {0};
    buf_printf(&sql, "select log_partition_make(date '1970-01-01' + %" PRId64 "::int)", day);
    set_sending(lane, SENDING_PARTITION);
    postgres_query(lane->pg, buf_text(&sql), NULL, 0, on_partition, lane);
    buf_free(&sql);
}

static void send_rows(struct sink_lane *lane)
{
    const struct span copy[] = {PG_COPY_HEAD, sink_batch_rows(lane->storing, lane->at, lane->run),
                                PG_COPY_TAIL};
    struct buf sql = {0};
    set_sending(lane, SENDING_ROWS);
    put_move(lane, &sql, lane->run);
    buf_printf(&sql, "copy %s from stdin (format binary)", lane->sink->options.codec.table);
    postgres_query(lane->pg, buf_text(&sql), copy, 3, on_copied, lane);
    buf_free(&sql);
}

/* What PostgreSQL's text takes: no NUL; UTF-8 was seen to above, and where even so it is refused,
 * ASCII. */
static void put_raw(const struct sink_lane *lane, struct buf *sql, struct span raw)
{
    struct buf text = {0};
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.ptr[i];
        bool good = c != 0 && (c < 0x80 || !lane->ascii);
        buf_append(&text, good ? span_of(&raw.ptr[i], 1) : SPAN("?"));
    }
    sink_quote(sql, buf_span(&text));
    buf_free(&text);
}

/* What can be no row because of its time has one as a dead letter all the same. */
static int64_t time_kept(int64_t us)
{
    return us < PG_TIME_LEAST ? PG_TIME_LEAST : us >= PG_TIME_MOST ? PG_TIME_MOST - 1 : us;
}

static void send_rejected(struct sink_lane *lane)
{
    const struct sink_row *row = &lane->storing->row[lane->at];
    struct buf sql = {0};
    lane->run = 1;
    put_move(lane, &sql, 1);
    buf_printf(&sql,
               "insert into log_entry_rejected (server_time, seq_number, reason, raw) values "
               "(timestamptz '1970-01-01 00:00:00+00' + interval '%" PRId64
               " microseconds', %" PRIu64 ", ",
               time_kept(row->time_us), row->seq);
    const char *reason = row->reason;
    bool told = lane->trouble != NULL && strcmp(reason, "refused by PostgreSQL") == 0;
    sink_quote(&sql, span_str(told ? lane->trouble : reason));
    buf_append(&sql, SPAN(", "));
    put_raw(lane, &sql, sink_batch_raw(lane->storing, lane->at));
    buf_append(&sql, SPAN(")"));
    set_sending(lane, SENDING_LETTER);
    postgres_query(lane->pg, buf_text(&sql), NULL, 0, on_rejected, lane);
    buf_free(&sql);
}

static bool is_ripe(const struct sink_lane *lane, uint64_t now)
{
    const struct sink_options *options = &lane->sink->options;
    const struct sink_batch *batch = lane->filling;
    return batch->count > 0 &&
           (lane->sink->stopping || lane->turning || batch->count >= options->rows ||
            sink_batch_bytes(batch) >= options->bytes || now >= batch->since_ms + options->age_ms);
}

static void send_next(struct sink_lane *lane, uint64_t now)
{
    CHECK(lane->sending == SENDING_NOTHING);
    if (lane->storing->count == 0 && is_ripe(lane, now)) {
        struct sink_batch *empty = lane->storing;
        lane->storing = lane->filling;
        lane->filling = empty;
        lane->at = 0;
    }
    if (lane->storing->count == 0) {
        if (has_place_to_store(lane)) {
            send_place(lane);
        }
        return;
    }
    const struct sink_row *first = &lane->storing->row[lane->at];
    lane->run = sink_batch_run(lane->storing, lane->at, lane->limit, lane->sink->options.bytes);
    if (lane->run == 0) {
        send_rejected(lane);
    } else if (sink_day(first->time_us) != lane->day) {
        send_partition(lane, sink_day(first->time_us));
    } else if (lane->sink->flights < lane->sink->options.parallel) {
        send_rows(lane);
    } else {
        lane->run = 0; /* sink_on_landing comes back to it */
    }
}

/* When the lane is looked at again though nothing happens. */
static uint64_t next_look(const struct sink_lane *lane, uint64_t now)
{
    uint64_t next = now + SINK_LANE_LOOK_MS;
    if (!lane_is_fed(lane) && !lane->reading && lane->read_at_ms > now) {
        next = lane->read_at_ms;
    }
    if (postgres_is_idle(lane->pg) && lane->filling->count > 0) {
        uint64_t ripe = lane->filling->since_ms + lane->sink->options.age_ms;
        next = ripe < next ? ripe : next;
    }
    if (lane->retry_at_ms > now && lane->retry_at_ms < next) {
        next = lane->retry_at_ms;
    }
    return next > now ? next : now + 1;
}

void sink_lane_step(struct sink_lane *lane)
{
    uint64_t now = clock_monotonic_ms();
    if (lane->state != LANE_RUNNING) {
        sink_lane_lease_step(lane);
        return;
    }
    if (postgres_is_idle(lane->pg) && now >= lane->retry_at_ms) {
        send_next(lane, now);
    }
    if (lane->state != LANE_RUNNING) {
        return; /* the session broke */
    }
    if (!lane_is_fed(lane)) {
        sink_lane_read_more(lane, now);
    }
    sink_lane_wake(lane, next_look(lane, now));
}

bool sink_has_room(const struct sink *sink)
{
    const struct sink_lane *lane = sink->lanes[0];
    return sink_batch_bytes(lane->filling) < sink->options.bytes * FEED_FACTOR;
}

bool sink_feed(struct sink *sink, const struct sink_item *item)
{
    struct sink_lane *lane = sink->lanes[0];
    struct sink_item numbered = *item;
    numbered.ordinal = ++lane->fed;
    sink_batch_add(lane->filling, &sink->options.codec, &numbered, clock_monotonic_ms());
    sink_lane_step(lane);
    return sink_has_room(sink);
}

/* ------------------------------------------------------------------------------ the session */

/* Of what was fed, what is stored has been told apart from what is not: the COMMIT whose answer was
 * lost, too. */
static void drop_stored(struct sink_lane *lane, uint64_t fed)
{
    struct sink_batch *batch = lane->storing;
    while (lane->at < batch->count && batch->row[lane->at].ordinal <= fed) {
        lane->sink->stats.rows += batch->row[lane->at++].reason == NULL;
    }
    if (lane->at == batch->count) {
        clear(lane, batch);
        lane->at = 0;
    }
}

void sink_lane_run_from(struct sink_lane *lane, uint64_t seq, uint64_t ordinal)
{
    CHECK(lane->state == LANE_FINDING);
    lane->seq = lane->place.seq = seq;
    lane->ordinal = lane->place.ordinal = ordinal;
    lane->history = lane->place.history;
    lane->turning = false;
    if (lane_is_fed(lane)) {
        drop_stored(lane, seq);
    }
    lane->read_at_ms = lane->retry_at_ms = 0;
    lane->marked = 0;
    lane->day = -1;
    lane->limit = lane->sink->options.rows;
    lane->state = LANE_RUNNING;
    lane->stuck = false;
    lane->sink->stats.lanes++;
    sink_on_progress(lane->sink);
    sink_lane_step(lane);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sink_lane *lane = arg;
    (void)fd, (void)what;
    sink_lane_step(lane);
}

size_t sink_lane_unstored(const struct sink_lane *lane)
{
    return lane->filling->count + lane->storing->count - lane->at;
}

bool sink_lane_is_quiet(const struct sink_lane *lane)
{
    bool at_work = lane->state == LANE_RUNNING || lane->state == LANE_LEAVING;
    if (lane_is_fed(lane)) {
        return sink_lane_unstored(lane) == 0; /* only this process has it */
    }
    return !at_work || (lane->state == LANE_LEAVING && postgres_is_idle(lane->pg)) ||
           (lane->storing->count == 0 && lane->filling->count == 0 && !lane->reading);
}

int64_t sink_lane_oldest_us(const struct sink_lane *lane)
{
    if (lane->storing->count > 0) {
        return lane->storing->row[lane->at].time_us;
    }
    return lane->filling->count > 0 ? lane->filling->row[0].time_us : 0;
}

struct sink_lane *sink_lane_new(struct sink_part *part, unsigned number)
{
    struct sink *sink = part->sink;
    struct sink_lane *lane = mem_zalloc(sizeof(*lane));
    lane->part = part;
    lane->sink = sink;
    lane->number = number;
    lane->filling = &lane->batches[0];
    lane->storing = &lane->batches[1];
    lane->limit = sink->options.rows;
    lane->day = -1;
    lane->entry_bytes = 1024;
    lane->backoff = (struct backoff){.first_ms = SINK_LANE_BACKOFF_FIRST_MS,
                                     .most_ms = SINK_LANE_BACKOFF_MOST_MS};
    stream_place_init(&lane->place);
    lane->timer = evtimer_new(sink->options.base, on_timer, lane);
    if (lane_is_fed(lane)) {
        sink_lane_open(lane);
    }
    return lane;
}

void sink_lane_free(struct sink_lane **lane)
{
    struct sink_lane *gone = *lane;
    *lane = NULL;
    postgres_close(&gone->pg);
    event_free(gone->timer);
    stream_place_deinit(&gone->place);
    sink_batch_free(&gone->batches[0]);
    sink_batch_free(&gone->batches[1]);
    free(gone->trouble);
    free(gone);
}
