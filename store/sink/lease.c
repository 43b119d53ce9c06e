/* SPDX-License-Identifier: MIT */
/* Which sink serves which lane.
 *
 *  A sink that can serve holds a shared lock in its care session, whose number is how many lanes it
 *  knows of, and calls the roll each second: how many sinks hold such a lock, what is the largest
 *  number, and at which place among the holders is this sink? So all sinks know of the same number
 *  of lanes, and each knows its share; the shares add up. A sink below its share asks for the locks
 *  of lanes; above it, it lets some go.
 *
 *  OFF --below the share--> DOWN --session--> WAITING --> LOCKING --the lock is ours--> FINDING
 *   ^                        ^                  ^-- another sink's ---'                    |
 *   |                        '- a session is lost, and its lock with it                 position
 *   |                                                                                      v
 *   '---- the session is closed, and the lock gone with it ---- LEAVING <--above-- RUNNING
 *
 *  The roll only decides which sink should ask: the lock sees to it that two never write one lane.
 */
#include "store/sink/impl.h"
#include "store/sink/writers.h"

#include "store/base/clock.h"
#include "store/stream_call.h"

#include <inttypes.h>

static const char pooled[] =
    "it is behind a pooler in transaction mode, where locks do not hold: connect to it directly, "
    "or through a pooler in session mode";

enum {
    ROLL_MS = 1000,
    LOCK_MS = 1000,     /* until a lane that another sink holds is asked for again */
    LEFT_MS = 3 * 1000, /* until one that was let go is */
    PATIENCE = 2,  /* roll calls above the share before lanes go: a sink that blinks is not gone */
    UNABLE = 5,    /* roll calls in which it could not serve, before the others take over */
    SILENT_S = 10, /* a sink that has not called the roll for so long is not counted */
    FORGOTTEN_DAYS = 30, /* for the positions of sinks that were fed */
};

/* The first of the two numbers of every lock; the second is the lane's, or for the roll the number of
 * lanes below 0. */
static void put_lock_key(const struct sink_part *part, struct buf *sql)
{
    buf_append(sql, SPAN("hashtext('muster log lane ' || "));
    sink_quote(sql, span_str(part->name));
    buf_append(sql, SPAN(")"));
}

/* The server learns to notice a sink that vanished without a word, with an answer on its way to it
 * (which keepalives do not see) too; and not to say that something is stored which a crash undoes:
 * the stream forgets it. Of the time-outs that role or database may set, those that this server
 * knows are off: a lane may wait for long. */
void sink_put_session(struct buf *sql)
{
    buf_append(sql, SPAN("set standard_conforming_strings = on; set tcp_keepalives_idle = 5; "
                         "set tcp_keepalives_interval = 2; set tcp_keepalives_count = 3; "
                         "set tcp_user_timeout = 11000; "
                         "select set_config(name, '0', false) from pg_settings where name in "
                         "('statement_timeout', 'lock_timeout', 'idle_session_timeout', "
                         "'idle_in_transaction_session_timeout', 'transaction_timeout'); "
                         "select set_config('synchronous_commit', 'on', false) "
                         "where current_setting('synchronous_commit') = 'off'; "));
}

/* ------------------------------------------------------------------------------------ a lane */

static void on_found(void *arg, const struct postgres_answer *answer)
{
    struct sink_lane *lane = arg;
    const char *seq = answer->end == POSTGRES_DONE ? postgres_value(answer, 0) : NULL;
    const char *ordinal = answer->end == POSTGRES_DONE ? postgres_value(answer, 1) : NULL;
    sink_hear(&lane->patience, answer);
    if (answer->end == POSTGRES_DONE) {
        const char *identity = postgres_value(answer, 2), *timeline = postgres_value(answer, 3);
        stream_place_reset(&lane->place);
        stream_name_set(lane->place.history.identity, span_str(identity));
        stream_name_set(lane->place.history.timeline, span_str(timeline));
        sink_writers_learn(lane, span_str(postgres_value(answer, 4)));
        sink_lane_run_from(lane, seq != NULL ? strtoull(seq, NULL, 10) : 0,
                           ordinal != NULL ? strtoull(ordinal, NULL, 10) : 0);
    } else if (answer->end == POSTGRES_FAILED) {
        sink_trouble(lane->sink, &lane->trouble, "storing log entries", answer->text);
        lane->stuck = true;
        lane->ask_at_ms = clock_monotonic_ms() + backoff_next(&lane->backoff);
        sink_lane_wake(lane, lane->ask_at_ms);
    }
}

static void find_position(struct sink_lane *lane)
{
    struct buf sql = {0};
    lane->state = LANE_FINDING;
    lane->ask_at_ms = 0;
    if (lane_is_fed(lane)) {
        sink_put_session(&sql);
        buf_printf(&sql,
                   "delete from log_lane where stream like 'from %%' and moved_at < now() - "
                   "interval '%d days'; ",
                   FORGOTTEN_DAYS);
    }
    buf_append(&sql, SPAN("insert into log_lane (stream, lane) values ("));
    sink_quote(&sql, span_str(lane->part->name));
    buf_printf(&sql,
               ", %u) on conflict do nothing; select seq_number, ordinal, identity, timeline, ",
               lane->number);
    sink_writers_ask(lane, &sql);
    buf_append(&sql, SPAN(" from log_lane "));
    buf_append(&sql, SPAN("where stream = "));
    sink_quote(&sql, span_str(lane->part->name));
    buf_printf(&sql, " and lane = %u", lane->number);
    sink_await(&lane->patience);
    postgres_query(lane->pg, buf_text(&sql), NULL, 0, on_found, lane);
    buf_free(&sql);
}

static void wait_until(struct sink_lane *lane, uint64_t ask_at_ms)
{
    lane->state = LANE_WAITING;
    lane->ask_at_ms = ask_at_ms;
    sink_share_out(lane->part);
}

static void on_lock(void *arg, const struct postgres_answer *answer)
{
    struct sink_lane *lane = arg;
    const char *value = answer->end == POSTGRES_DONE ? postgres_value(answer, 0) : NULL;
    if (value != NULL && value[0] == 't') {
        find_position(lane);
    } else if (answer->end != POSTGRES_LOST) {
        if (answer->end == POSTGRES_FAILED) {
            sink_trouble(lane->sink, &lane->trouble, "storing log entries", answer->text);
            lane->stuck = true;
        }
        sink_hear(&lane->patience, answer); /* another sink serves it */
        wait_until(lane, clock_monotonic_ms() + LOCK_MS);
    }
}

static void ask_lock(struct sink_lane *lane)
{
    struct buf sql = {0};
    lane->state = LANE_LOCKING;
    sink_put_session(&sql);
    buf_append(&sql, SPAN("select pg_try_advisory_lock("));
    put_lock_key(lane->part, &sql);
    buf_printf(&sql, ", %u)", lane->number);
    postgres_query(lane->pg, buf_text(&sql), NULL, 0, on_lock, lane);
    buf_free(&sql);
}

void sink_lane_lease_step(struct sink_lane *lane)
{
    bool finding = lane->state == LANE_FINDING && postgres_is_idle(lane->pg);
    if (lane->state == LANE_LEAVING) {
        sink_on_progress(lane->sink); /* the tick closes it */
    } else if (finding && clock_monotonic_ms() < lane->ask_at_ms) {
        sink_lane_wake(lane, lane->ask_at_ms);
    } else if (finding && (!lane->sink->stopping || lane_is_fed(lane))) {
        find_position(lane);
    }
}

static void on_up(void *arg)
{
    struct sink_lane *lane = arg;
    if (lane_is_fed(lane)) {
        find_position(lane);
    } else {
        wait_until(lane, 0);
    }
}

static void on_down(void *arg, const char *text)
{
    struct sink_lane *lane = arg;
    struct sink *sink = lane->sink;
    bool at_work = lane->state == LANE_RUNNING || lane->state == LANE_LEAVING;
    sink->stats.lost += at_work && lane->sending > SENDING_PLACE;
    sink->stats.lanes -= lane->state == LANE_RUNNING;
    lane->state = LANE_DOWN;
    lane->generation++;
    sink_await(&lane->patience);
    sink_lane_forget(lane);
    if (sink->care_up) { /* else that one has said it */
        sink_trouble(sink, &lane->trouble, "PostgreSQL", text);
    }
    sink_on_progress(sink);
}

void sink_lane_open(struct sink_lane *lane)
{
    static const struct postgres_events events = {on_up, on_down};
    const struct sink_options *options = &lane->sink->options;
    lane->state = LANE_DOWN;
    sink_await(&lane->patience);
    lane->pg = postgres_open(options->base, lane->sink->resolver, options->uri, "muster sink",
                             &events, lane);
}

static void close_session(struct sink_lane *lane)
{
    lane->ask_at_ms = clock_monotonic_ms() + (lane->state == LANE_LEAVING ? LEFT_MS : 0);
    lane->state = LANE_OFF;
    lane->patience.since_ms = 0;
    lane->generation++;
    sink_lane_forget(lane);
    postgres_close(&lane->pg);
}

/* ------------------------------------------------------------------------------ the shares */

/* Ours, or likely to be. */
static bool is_held(const struct sink_lane *lane)
{
    return lane->state != LANE_OFF && lane->state != LANE_WAITING && lane->state != LANE_LEAVING;
}

static unsigned count_held(const struct sink_part *part)
{
    unsigned held = 0;
    for (unsigned i = 0; i < part->count; i++) {
        held += is_held(part->lanes[i]);
    }
    return held;
}

/* The sink's place among those that serve the part: each part has another first one. */
static unsigned rank(const struct sink_part *part)
{
    const struct sink_roll *roll = &part->roll;
    return roll->sinks > 0 ? (roll->rank + part->number) % roll->sinks : 0;
}

/* Shares differ by one at most, and add up to all lanes. */
static unsigned share(const struct sink_part *part)
{
    unsigned sinks = part->roll.sinks;
    return sinks > 0 ? part->count / sinks + (rank(part) < part->count % sinks) : 0;
}

/* The lane that comes `n`th for this sink: each begins elsewhere, so that they seldom ask for the
 * same. */
static struct sink_lane *lane_at(const struct sink_part *part, unsigned n)
{
    unsigned sinks = part->roll.sinks, first = sinks > 0 ? rank(part) * part->count / sinks : 0;
    return part->lanes[(first + n) % part->count];
}

void sink_share_out(struct sink_part *part)
{
    uint64_t now = clock_monotonic_ms();
    unsigned held = count_held(part), wanted = share(part);
    for (unsigned n = 0; n < part->count && held < wanted && !part->sink->stopping; n++) {
        struct sink_lane *lane = lane_at(part, n);
        if (now < lane->ask_at_ms) {
            continue;
        }
        if (lane->state == LANE_OFF) {
            sink_lane_open(lane);
            held++;
        } else if (lane->state == LANE_WAITING) {
            ask_lock(lane);
            held++;
        }
    }
}

void sink_close_spare(struct sink_part *part)
{
    unsigned held = count_held(part), wanted = share(part);
    for (unsigned n = part->count; n > 0; n--) {
        struct sink_lane *lane = lane_at(part, n - 1);
        bool spare = lane->state == LANE_DOWN && held > wanted;
        if (spare || (lane->state == LANE_WAITING && held >= wanted) ||
            (lane->state == LANE_LEAVING && postgres_is_idle(lane->pg))) {
            held -= spare;
            close_session(lane);
        }
    }
}

/* The batch that is being stored goes first. */
static void leave_some(struct sink_part *part)
{
    unsigned held = count_held(part), wanted = share(part);
    part->roll.above = held > wanted ? part->roll.above + 1 : 0;
    for (unsigned n = part->count; n > 0 && held > wanted && part->roll.above >= PATIENCE; n--) {
        struct sink_lane *lane = lane_at(part, n - 1);
        if (lane->state == LANE_RUNNING) {
            lane->state = LANE_LEAVING;
            part->sink->stats.lanes--;
            held--;
            sink_on_progress(part->sink);
        }
    }
}

/* Behind a pooler that gives each transaction another server process the locks belong to another
 * session: no sink would keep a lane. */
static void note_backend(struct sink *sink, const char *pid)
{
    bool changed = sink->backend != NULL && pid != NULL && strcmp(sink->backend, pid) != 0;
    if (changed && sink->pooled == NULL) {
        sink->pooled = pooled;
        sink->options.say(sink->options.arg, true, "PostgreSQL", pooled);
    }
    free(sink->backend);
    sink->backend = pid != NULL ? mem_dup(span_str(pid)) : NULL;
}

static void on_roll(void *arg, const struct postgres_answer *answer)
{
    struct sink_part *part = arg;
    struct sink *sink = part->sink;
    struct sink_roll *roll = &part->roll;
    if (answer->end == POSTGRES_FAILED) {
        postgres_reset(sink->care, answer->text); /* it is unknown what is locked */
    }
    if (answer->end != POSTGRES_DONE) {
        return; /* the share stays */
    }
    const char *read_only = postgres_value(answer, 3);
    if (read_only != NULL && read_only[0] == 't') {
        postgres_reset(sink->care, "the server has become read-only");
        return;
    }
    note_backend(sink, postgres_value(answer, 4));
    sink_trouble(sink, &sink->link_trouble, "PostgreSQL", NULL);
    const char *sinks = postgres_value(answer, 0), *rank = postgres_value(answer, 1);
    const char *lanes = postgres_value(answer, 2);
    unsigned most = lanes != NULL ? (unsigned)strtoul(lanes, NULL, 10) : 0;
    roll->told = roll->asked;
    roll->sinks = roll->told > 0 && sinks != NULL ? (unsigned)strtoul(sinks, NULL, 10) : 0;
    roll->rank = rank != NULL ? (unsigned)strtoul(rank, NULL, 10) : 0;
    sink_set_lanes(part, most);
    leave_some(part);
    sink_share_out(part);
    sink_care(sink);
    sink_call_roll(sink);
}

/* It reaches what it reads from, and gets the sessions it wants. */
static bool is_able(const struct sink_part *part)
{
    bool able = stream_reached(part->sink->options.store, part->number);
    for (unsigned i = 0; i < part->count; i++) {
        able = able && part->lanes[i]->state != LANE_DOWN;
    }
    return able;
}

static void put_roll_lock(const struct sink_part *part, struct buf *sql, const char *function,
                          unsigned lanes)
{
    if (lanes > 0) {
        buf_printf(sql, "select %s(", function);
        put_lock_key(part, sql);
        buf_printf(sql, ", -%u); ", lanes);
    }
}

static void call_roll(struct sink_part *part)
{
    struct sink_roll *roll = &part->roll;
    struct buf sql = {0};
    roll->at_ms = clock_monotonic_ms() + ROLL_MS;
    roll->unable = is_able(part) ? 0 : roll->unable + 1;
    bool ours = part->claim.identity[0] != '\0';
    roll->asked = ours && roll->unable < UNABLE ? part->count : 0;
    if (roll->asked != roll->told) {
        sink_put_session(&sql);
        put_roll_lock(part, &sql, "pg_try_advisory_lock_shared", roll->asked);
        put_roll_lock(part, &sql, "pg_advisory_unlock_shared", roll->told);
    }
    buf_append(&sql, SPAN("select count(distinct l.pid), count(distinct l.pid) filter "
                          "(where l.pid < pg_backend_pid()), 4294967296 - min(l.objid::bigint), "
                          "pg_is_in_recovery() or current_setting('transaction_read_only') = 'on', "
                          "pg_backend_pid() "
                          "from pg_locks l left join pg_stat_activity a on a.pid = l.pid "
                          "where l.locktype = 'advisory' and l.mode = 'ShareLock' and l.granted "
                          "and l.database = (select oid from pg_database "
                          "where datname = current_database()) and l.classid = "));
    put_lock_key(part, &sql);
    buf_printf(&sql,
               "::oid and l.objid >= %" PRIu64 "::bigint::oid and l.objsubid = 2 "
               "and (l.pid = pg_backend_pid() or coalesce("
               "a.state_change > clock_timestamp() - interval '%d seconds', true))",
               (UINT64_C(1) << 32) - STREAM_LANES_MOST, SILENT_S);
    postgres_query(part->sink->care, buf_text(&sql), NULL, 0, on_roll, part);
    buf_free(&sql);
}

void sink_call_roll(struct sink *sink)
{
    uint64_t now = clock_monotonic_ms();
    for (unsigned i = 0; i < STREAM_PARTS && sink->options.store != NULL && !sink->stopping; i++) {
        struct sink_part *part = &sink->parts[i];
        if (part->count > 0 && now >= part->roll.at_ms && postgres_is_idle(sink->care)) {
            call_roll(part);
        }
    }
}
