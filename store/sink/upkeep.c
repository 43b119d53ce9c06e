/* SPDX-License-Identifier: MIT */
/* What is done to the days of log_entry while others read and write them: indexes of days that are
 * over, days that leave. One sink at a time does it, in a session that is opened once a minute and
 * closed when nothing is left.
 *
 *     OFF --a minute is over--> CLAIMING --lock, owner--> ASKING --a statement--> RUNNING
 *      ^                           |                        ^  |                     |
 *      |                           | not the owner          |  | none left           |
 *      |                           v                        '--+---------------------'
 *      '------------------- DROPPING <-------------------------'
 *
 * The statements come from log_upkeep, and stand alone: CONCURRENTLY is not to be had inside a
 * function, so it takes a member of the owner's role. Another may only call log_partition_drop. */
#include "store/sink/impl.h"

#include "store/base/clock.h"

#include <stdio.h>

enum {
    UPKEEP_MS = 60 * 1000,
    UPKEEP_FIRST_MS = 2000,
    STATEMENTS_MOST = 1000, /* in a session */
};

static void ask(struct sink *sink);

static void send_query(struct sink *sink, const char *sql, postgres_fn *fn)
{
    postgres_query(sink->upkeep.pg, sql, NULL, 0, fn, sink);
}

/* Its session is closed by the next tick: not inside one of its own calls. */
static void end_round(struct sink *sink)
{
    sink->upkeep.over = true;
}

static void say_failed(struct sink *sink, const struct postgres_answer *answer)
{
    sink_trouble(sink, &sink->upkeep.trouble, "days of log_entry", answer->text);
}

static void on_dropped(void *arg, const struct postgres_answer *answer)
{
    struct sink *sink = arg;
    const char *dropped = answer->end == POSTGRES_DONE ? postgres_value(answer, 0) : NULL;
    if (dropped != NULL && strcmp(dropped, "0") != 0) {
        sink->options.say(sink->options.arg, false, "days dropped", dropped);
    } else if (answer->end == POSTGRES_FAILED) {
        say_failed(sink, answer);
    }
    end_round(sink);
}

/* For a role that is not the owner, and for PostgreSQL before 14. */
static void drop_due(struct sink *sink)
{
    char sql[128];
    if (sink->options.retention_days == 0) {
        end_round(sink);
        return;
    }
    snprintf(sql, sizeof(sql), "select log_partition_drop((now() at time zone 'UTC')::date - %u)",
             sink->options.retention_days);
    send_query(sink, sql, on_dropped);
}

static void on_done(void *arg, const struct postgres_answer *answer)
{
    struct sink *sink = arg;
    if (answer->end == POSTGRES_FAILED) {
        sink->upkeep.failed++;
        say_failed(sink, answer);
    }
    if (answer->end != POSTGRES_LOST) {
        ask(sink);
    }
}

static void on_statement(void *arg, const struct postgres_answer *answer)
{
    struct sink *sink = arg;
    const char *sql = answer->end == POSTGRES_DONE ? postgres_value(answer, 0) : NULL;
    if (sql != NULL && sink->upkeep.count++ < STATEMENTS_MOST) {
        sink->options.say(sink->options.arg, false, "days of log_entry", sql);
        send_query(sink, sql, on_done);
    } else if (answer->end == POSTGRES_DONE && sink->upkeep.failed == 0) {
        sink_trouble(sink, &sink->upkeep.trouble, "days of log_entry", NULL);
        drop_due(sink);
    } else if (answer->end != POSTGRES_LOST) {
        end_round(sink);
    }
}

/* What failed stays in the list: it is stepped over until the next round. */
static void ask(struct sink *sink)
{
    char before[64] = "null", sql[256];
    if (sink->options.retention_days > 0) {
        snprintf(before, sizeof(before), "(now() at time zone 'UTC')::date - %u",
                 sink->options.retention_days);
    }
    snprintf(sql, sizeof(sql), "select sql from log_upkeep(%s, %s) sql offset %u limit 1", before,
             sink->options.search ? "true" : "false", sink->upkeep.failed);
    send_query(sink, sql, on_statement);
}

static void on_role(void *arg, const struct postgres_answer *answer)
{
    struct sink *sink = arg;
    if (answer->end == POSTGRES_DONE) {
        ask(sink);
    } else if (answer->end == POSTGRES_FAILED) {
        say_failed(sink, answer);
        end_round(sink);
    }
}

static void on_claimed(void *arg, const struct postgres_answer *answer)
{
    struct sink *sink = arg;
    const char *locked = answer->end == POSTGRES_DONE ? postgres_value(answer, 0) : NULL;
    const char *owner = answer->end == POSTGRES_DONE ? postgres_value(answer, 1) : NULL;
    if (answer->end == POSTGRES_LOST) {
        return;
    }
    if (locked == NULL || locked[0] != 't') {
        end_round(sink); /* another sink does it, or the schema is not there: sink_care says so */
    } else if (owner == NULL) {
        drop_due(sink);
    } else {
        struct buf sql = {0};
        buf_printf(&sql, "set role %s", owner);
        send_query(sink, buf_text(&sql), on_role);
        buf_free(&sql);
    }
}

static void on_up(void *arg)
{
    struct sink *sink = arg;
    struct buf sql = {0};
    sink_put_session(&sql);
    /* A sink that is gone is noticed while the server works for it, too. */
    buf_append(&sql, SPAN("select set_config('client_connection_check_interval', '10s', false) "
                          "where current_setting('server_version_num')::int >= 140000; "
                          "select pg_try_advisory_lock(hashtext('muster log upkeep'))::text, "
                          "(select quote_ident(r.rolname) from pg_class c join pg_roles r "
                          "on r.oid = c.relowner where c.oid = 'log_entry'::regclass "
                          "and pg_has_role(r.oid, 'MEMBER'))"));
    sink->upkeep.failed = sink->upkeep.count = 0;
    send_query(sink, buf_text(&sql), on_claimed);
    buf_free(&sql);
}

static void on_down(void *arg, const char *text)
{
    struct sink *sink = arg;
    (void)text; /* the care session says it */
    end_round(sink);
}

void sink_upkeep(struct sink *sink)
{
    static const struct postgres_events events = {on_up, on_down};
    struct sink_upkeep *upkeep = &sink->upkeep;
    uint64_t now = clock_monotonic_ms();
    if (upkeep->pg != NULL && upkeep->over) {
        postgres_close(&upkeep->pg);
        upkeep->at_ms = now + UPKEEP_MS;
    } else if (upkeep->at_ms == 0) {
        upkeep->at_ms = now + UPKEEP_FIRST_MS;
    } else if (upkeep->pg == NULL && sink->care_up && now >= upkeep->at_ms && !sink->stopping) {
        upkeep->over = false;
        upkeep->pg = postgres_open(sink->options.base, sink->resolver, sink->options.uri,
                                   "muster sink upkeep", &events, sink);
        postgres_set_limit(upkeep->pg, 0);
    }
}
