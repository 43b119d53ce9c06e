#include "store/migrate.h"

#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/migrations.h"

#include <libpq-fe.h>
#include <stdio.h>

enum { RETRY_MS = 250, LOCK_KEY = 0x6d757374 /* "must" */ };

struct run {
    PGconn *conn;
    migrate_say_fn *say;
    void *arg;
    char *error;
    size_t error_size;
};

static int refuse(struct run *run, const char *what, const char *text)
{
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' ')) {
        len--;
    }
    snprintf(run->error, run->error_size, "%s%.*s", what, (int)len, text);
    return -1;
}

/* The result, new, or NULL with the error told. */
static PGresult *ask(struct run *run, const char *sql)
{
    PGresult *result = PQexec(run->conn, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) {
        return result;
    }
    refuse(run, "", PQresultErrorMessage(result));
    PQclear(result);
    return NULL;
}

static int run_sql(struct run *run, const char *sql)
{
    PGresult *result = ask(run, sql);
    PQclear(result);
    return result != NULL ? 0 : -1;
}

static void on_notice(void *arg, const char *text)
{
    struct run *run = arg;
    if (run->say != NULL && strncmp(text, "NOTICE:  relation", 17) != 0) {
        char line[512];
        snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
        run->say(run->arg, line);
    }
}

static int connect_to(struct run *run, const char *uri, unsigned wait_ms)
{
    static const char *const names[] = {"dbname", "application_name", "connect_timeout",
                                        "client_encoding", NULL};
    const char *const values[] = {uri, "muster migrate", "5", "UTF8", NULL};
    uint64_t end = clock_monotonic_ms() + wait_ms;
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
        PQfinish(run->conn);
        nanosleep(&(struct timespec){0, RETRY_MS * 1000000L}, NULL);
    }
}

/* True when it stands there with the text we know; *missing when it does not stand there. */
static int compare(struct run *run, const struct migration *one, bool *missing)
{
    char sql[128];
    snprintf(sql, sizeof(sql), "select sha256 from muster_migration where number = %d",
             one->number);
    PGresult *result = ask(run, sql);
    if (result == NULL) {
        return -1;
    }
    *missing = PQntuples(result) == 0;
    bool same = *missing || strcmp(PQgetvalue(result, 0, 0), one->sha256) == 0;
    PQclear(result);
    return same
               ? 0
               : refuse(run, one->name,
                        ": was applied with other text (its checksum in muster_migration differs)");
}

static int apply(struct run *run, const struct migration *one)
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
    if (run->say != NULL) {
        snprintf(line, sizeof(line), "%s: applied", one->name);
        run->say(run->arg, line);
    }
    return 0;
}

static int check_encoding(struct run *run)
{
    const char *encoding = PQparameterStatus(run->conn, "server_encoding");
    return encoding != NULL && strcmp(encoding, "UTF8") == 0
               ? 0
               : refuse(run, "the database's encoding must be UTF8, not ",
                        encoding != NULL ? encoding : "unknown");
}

static int apply_all(struct run *run)
{
    char lock[64];
    snprintf(lock, sizeof(lock), "select pg_advisory_lock(%d)", LOCK_KEY);
    if (check_encoding(run) != 0 || run_sql(run, lock) != 0 ||
        run_sql(run, "create table if not exists muster_migration (number int primary key, name "
                     "text not null, sha256 text not null, applied_at timestamptz not null default "
                     "now())") != 0) {
        return -1;
    }
    for (const struct migration *one = migrations; one->number != 0; one++) {
        bool missing;
        if (compare(run, one, &missing) != 0 || (missing && apply(run, one) != 0)) {
            return -1;
        }
    }
    return 0;
}

int migrate_run(const char *uri, unsigned wait_ms, migrate_say_fn *say, void *arg, char *error,
                size_t error_size)
{
    struct run run = {.say = say, .arg = arg, .error = error, .error_size = error_size};
    int done = connect_to(&run, uri, wait_ms) == 0 ? apply_all(&run) : -1;
    PQfinish(run.conn);
    return done;
}

static int count_missing(struct run *run)
{
    int count = 0;
    PGresult *result = ask(run, "select to_regclass('muster_migration') is not null");
    if (result == NULL) {
        return -1;
    }
    bool there = PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    for (const struct migration *one = migrations; one->number != 0; one++) {
        bool missing = true;
        if (there && compare(run, one, &missing) != 0) {
            return -1;
        }
        count += missing;
    }
    return count;
}

int migrate_check(const char *uri, char *error, size_t error_size)
{
    struct run run = {.error = error, .error_size = error_size};
    int missing =
        connect_to(&run, uri, 0) == 0 && check_encoding(&run) == 0 ? count_missing(&run) : -1;
    PQfinish(run.conn);
    return missing;
}
