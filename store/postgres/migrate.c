/* SPDX-License-Identifier: MIT */
#include "store/postgres/migrate.h"

#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/postgres/migrations.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>

enum { MIGRATE_RETRY_MS = 250, MIGRATE_TICK_MS = 200, LOCK_KEY = 0x6d757374 /* "must" */ };

struct migrate_run {
    PGconn *conn;
    struct migrate_observer observer;
    struct migrate_step step; /* what is told while the server works */
    uint64_t step_began_ms;
    char *error;
    size_t error_size;
};

static int refuse(struct migrate_run *run, const char *what, const char *text)
{
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' ')) {
        len--;
    }
    snprintf(run->error, run->error_size, "%s%.*s", what, (int)len, text);
    return -1;
}

/* ------------------------------------------------------------------------------------ progress */

static void say(const struct migrate_run *run, const char *text)
{
    if (run->observer.say != NULL) {
        run->observer.say(run->observer.arg, text);
    }
}

static void begin_step(struct migrate_run *run, const struct migrate_step *step)
{
    run->step = *step;
    run->step_began_ms = clock_monotonic_ms();
}

static void tell_step(struct migrate_run *run)
{
    run->step.ms = clock_monotonic_ms() - run->step_began_ms;
    if (run->observer.step != NULL) {
        run->observer.step(run->observer.arg, &run->step);
    }
}

/* ------------------------------------------------------------------------------------ questions */

/* The next result of what was sent, new, or NULL: there is no more. */
static PGresult *next_result(struct migrate_run *run)
{
    while (PQisBusy(run->conn)) {
        struct pollfd wait = {.fd = PQsocket(run->conn), .events = POLLIN};
        if (poll(&wait, 1, MIGRATE_TICK_MS) == 0) {
            tell_step(run);
        } else if (PQconsumeInput(run->conn) == 0) {
            break; /* PQgetResult says what is wrong */
        }
    }
    return PQgetResult(run->conn);
}

/* As PQexec, but that it tells of the time it takes: of several statements the last one's result,
 * or the error. */
static PGresult *execute(struct migrate_run *run, const char *sql)
{
    PGresult *kept = NULL, *result;
    if (PQsendQuery(run->conn, sql) == 0) {
        return PQmakeEmptyPGresult(run->conn,
                                   PGRES_FATAL_ERROR); /* with the connection's message */
    }
    while ((result = next_result(run)) != NULL) {
        ExecStatusType status = PQresultStatus(result);
        bool copies =
            status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
        if (kept != NULL && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
            PQclear(result);
        } else {
            PQclear(kept);
            kept = result;
        }
        if (copies) {
            break; /* nothing here asks for one, and it would come again and again */
        }
    }
    return kept;
}

/* Of the first row; empty where there is none, or no such column. */
static const char *value_of(const PGresult *result, int column)
{
    return PQntuples(result) > 0 && column < PQnfields(result) ? PQgetvalue(result, 0, column) : "";
}

/* The result, new, or NULL with the error told. */
static PGresult *ask(struct migrate_run *run, const char *sql)
{
    PGresult *result = execute(run, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) {
        return result;
    }
    const char *text = PQresultErrorMessage(result);
    refuse(run, "", text[0] != '\0' ? text : "the server answers what was not asked");
    PQclear(result);
    return NULL;
}

static int run_sql(struct migrate_run *run, const char *sql)
{
    PGresult *result = ask(run, sql);
    PQclear(result);
    return result != NULL ? 0 : -1;
}

static void on_notice(void *arg, const char *text)
{
    struct migrate_run *run = arg;
    if (strncmp(text, "NOTICE:  relation", 17) != 0) {
        char line[512];
        snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
        say(run, line);
    }
}

static int connect_to(struct migrate_run *run, const char *uri, unsigned wait_ms)
{
    static const char *const names[] = {"dbname", "application_name", "connect_timeout",
                                        "client_encoding", NULL};
    const char *const values[] = {uri, "muster migrate", "5", "UTF8", NULL};
    uint64_t end = clock_monotonic_ms() + wait_ms;
    begin_step(run, &(struct migrate_step){.phase = MIGRATE_CONNECT, .of_ms = wait_ms});
    for (;;) {
        run->conn = PQconnectdbParams(names, values, 1);
        if (PQstatus(run->conn) == CONNECTION_OK) {
            PQsetNoticeProcessor(run->conn, on_notice, run);
            return 0;
        }
        refuse(run, "", PQerrorMessage(run->conn));
        if (clock_monotonic_ms() >= end) {
            return -1;
        }
        tell_step(run);
        PQfinish(run->conn);
        nanosleep(&(struct timespec){0, MIGRATE_RETRY_MS * 1000000L}, NULL);
    }
}

/* True when it stands there with the text we know; *missing when it does not stand there. */
static int compare(struct migrate_run *run, const struct migration *one, bool *missing)
{
    char sql[128];
    snprintf(sql, sizeof(sql), "select sha256 from muster_migration where number = %d",
             one->number);
    PGresult *result = ask(run, sql);
    if (result == NULL) {
        return -1;
    }
    *missing = PQntuples(result) == 0;
    bool same = *missing || strcmp(value_of(result, 0), one->sha256) == 0;
    PQclear(result);
    return same
               ? 0
               : refuse(run, one->name,
                        ": was applied with other text (its checksum in muster_migration differs)");
}

static int apply(struct migrate_run *run, const struct migration *one)
{
    struct buf sql = {0};
    char line[160];
    buf_printf(&sql,
               "begin;\n%s\n;insert into muster_migration (number, name, sha256) values (%d, '%s', "
               "'%s'); commit",
               one->sql, one->number, one->name, one->sha256);
    int done = run_sql(run, buf_text(&sql));
    buf_free(&sql);
    if (done != 0) {
        char text[512];
        snprintf(text, sizeof(text), "%s", run->error);
        snprintf(line, sizeof(line), "%s: ", one->name);
        return refuse(run, line, text);
    }
    snprintf(line, sizeof(line), "%s: applied", one->name);
    say(run, line);
    return 0;
}

static int check_encoding(struct migrate_run *run)
{
    const char *encoding = PQparameterStatus(run->conn, "server_encoding");
    return encoding != NULL && strcmp(encoding, "UTF8") == 0
               ? 0
               : refuse(run, "the database's encoding must be UTF8, not ",
                        encoding != NULL ? encoding : "unknown");
}

/* How many are missing: all of them unless the table of what was applied is `there`. -1 when one
 * was applied with other text. */
static int find_missing(struct migrate_run *run, bool there)
{
    int count = 0;
    for (const struct migration *one = migrations; one->number != 0; one++) {
        bool missing = true;
        if (there && compare(run, one, &missing) != 0) {
            return -1;
        }
        count += missing;
    }
    return count;
}

static int apply_missing(struct migrate_run *run, unsigned count)
{
    unsigned at = 0;
    for (const struct migration *one = migrations; one->number != 0; one++) {
        bool missing;
        if (compare(run, one, &missing) != 0) {
            return -1;
        }
        if (missing) {
            at++;
            begin_step(run, &(struct migrate_step){
                                .phase = MIGRATE_APPLY, .name = one->name, .at = at, .of = count});
            tell_step(run);
            if (apply(run, one) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* What is to be done to days that are there; one that fails is told and stepped over. */
static int keep_up(struct migrate_run *run)
{
    for (unsigned failed = 0;;) {
        char sql[96];
        snprintf(sql, sizeof(sql), "select sql from log_upkeep(null, false) sql offset %u limit 1",
                 failed);
        PGresult *found = ask(run, sql);
        if (found == NULL || PQntuples(found) == 0) {
            PQclear(found);
            return found != NULL ? 0 : -1;
        }
        const char *statement = value_of(found, 0);
        begin_step(run, &(struct migrate_step){.phase = MIGRATE_UPKEEP, .name = statement});
        tell_step(run);
        if (run_sql(run, statement) == 0) {
            say(run, statement);
        } else {
            char line[600];
            failed++;
            snprintf(line, sizeof(line), "%.250s: %.300s", statement, run->error);
            say(run, line);
        }
        PQclear(found);
    }
}

/* The old dumper's table has the name of our view. */
static int check_old_table(struct migrate_run *run)
{
    PGresult *found = ask(run, "select from pg_class where oid = to_regclass('\"LogEntry\"') and "
                               "relkind <> 'v'");
    if (found == NULL) {
        return -1;
    }
    bool there = PQntuples(found) > 0;
    PQclear(found);
    return there ? refuse(run, "the old dumper's table is here: ",
                          "alter table \"LogEntry\" rename to old_log_entry, migrate, then call "
                          "log_adopt('old_log_entry') moves its rows")
                 : 0;
}

static int apply_all(struct migrate_run *run)
{
    char lock[64];
    snprintf(lock, sizeof(lock), "select pg_advisory_lock(%d)", LOCK_KEY);
    begin_step(run, &(struct migrate_step){.phase = MIGRATE_WAIT});
    if (check_encoding(run) != 0 || check_old_table(run) != 0 || run_sql(run, lock) != 0 ||
        run_sql(run, "create table if not exists muster_migration (number int primary key, name "
                     "text not null, sha256 text not null, applied_at timestamptz not null default "
                     "now())") != 0) {
        return -1;
    }
    int count = find_missing(run, true);
    return count < 0 || apply_missing(run, (unsigned)count) != 0 ? -1 : keep_up(run);
}

int migrate_run(const char *uri, unsigned wait_ms, const struct migrate_observer *observer,
                char *error, size_t error_size)
{
    struct migrate_run run = {.observer = *observer, .error = error, .error_size = error_size};
    int done = connect_to(&run, uri, wait_ms) == 0 ? apply_all(&run) : -1;
    PQfinish(run.conn);
    return done;
}

/* A standby, or a server that was set so, answers every question and stores nothing. */
static int check_writable(struct migrate_run *run)
{
    PGresult *result = ask(run, "select pg_is_in_recovery(), "
                                "current_setting('transaction_read_only') = 'on'");
    if (result == NULL) {
        return -1;
    }
    bool standby = value_of(result, 0)[0] == 't';
    bool read_only = value_of(result, 1)[0] == 't';
    PQclear(result);
    if (standby) {
        return refuse(run, "",
                      "the server is a standby, which takes no writes: name the primary, "
                      "or both with target_session_attrs=read-write");
    }
    return read_only ? refuse(run, "", "the server is read-only: default_transaction_read_only")
                     : 0;
}

static int count_missing(struct migrate_run *run)
{
    if (check_writable(run) != 0) {
        return -1;
    }
    PGresult *result = ask(run, "select to_regclass('muster_migration') is not null");
    if (result == NULL) {
        return -1;
    }
    bool there = value_of(result, 0)[0] == 't';
    PQclear(result);
    return find_missing(run, there);
}

int migrate_check(const char *uri, char *error, size_t error_size)
{
    struct migrate_run run = {.error = error, .error_size = error_size};
    int missing =
        connect_to(&run, uri, 0) == 0 && check_encoding(&run) == 0 ? count_missing(&run) : -1;
    PQfinish(run.conn);
    return missing;
}
