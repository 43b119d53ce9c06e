/* SPDX-License-Identifier: MIT */
#include "store/postgres/postgres.h"

#include "store/base/backoff.h"
#include "store/base/buf.h"
#include "store/base/check.h"
#include "store/base/mem.h"
#include "store/base/timer.h"
#include "store/postgres/hosts.h"

#include <libpq-fe.h>
#include <stdio.h>

enum {
    POSTGRES_BACKOFF_FIRST_MS = 100,
    POSTGRES_BACKOFF_MOST_MS = 5000,
    CONNECT_S = 10,
    ANSWER_MS = 60 * 1000,
    COPY_PIECE = 64 * 1024,
    COPY_PIECES = 8,
};

enum postgres_state { POSTGRES_WAITING, POSTGRES_CONNECTING, IDLE, BUSY };

struct postgres {
    struct event_base *base;
    const char *uri;
    char *name;
    struct postgres_hosts *hosts;
    const struct postgres_events *events;
    void *arg;
    enum postgres_state state;
    PGconn *conn;
    bool any; /* server will do, not only one that can be written to */
    int fd;   /* that the events watch; -1: none */
    struct event *read, *write;
    struct event *timer; /* next try, or the limit of what is under way */
    uint32_t limit_ms;   /* of an answer; 0: none */
    struct backoff backoff;
    postgres_fn *fn;
    void *fn_arg;
    struct span copy[COPY_PIECES];
    size_t pieces;
    PGresult *rows, *error;
};

static void arm(struct postgres *pg, uint32_t ms)
{
    timer_after(pg->timer, ms);
}

static void forget_results(struct postgres *pg)
{
    PQclear(pg->rows);
    PQclear(pg->error);
    pg->rows = pg->error = NULL;
}

static void unwatch(struct postgres *pg)
{
    if (pg->read != NULL) {
        event_free(pg->read);
        event_free(pg->write);
    }
    pg->read = pg->write = NULL;
    pg->fd = -1;
}

static void answer(struct postgres *pg, enum postgres_end end, const char *text)
{
    postgres_fn *fn = pg->fn;
    const char *state = pg->error != NULL ? PQresultErrorField(pg->error, PG_DIAG_SQLSTATE) : NULL;
    struct postgres_answer all = {end, state != NULL ? state : "", text, pg->rows};
    PGresult *rows = pg->rows, *error = pg->error;
    pg->fn = NULL;
    pg->rows = pg->error = NULL; /* a query sent from inside has its own */
    if (fn != NULL) {
        fn(pg->fn_arg, &all);
    }
    PQclear(rows);
    PQclear(error);
}

/* The one way down. */
static void fail(struct postgres *pg, const char *text)
{
    postgres_hosts_cancel(pg->hosts);
    char *kept = mem_dup(span_str(text));
    size_t len = strlen(kept);
    while (len > 0 && kept[len - 1] == '\n') {
        kept[--len] = '\0';
    }
    unwatch(pg);
    PQfinish(pg->conn);
    pg->conn = NULL;
    pg->state = POSTGRES_WAITING;
    arm(pg, backoff_next(&pg->backoff));
    answer(pg, POSTGRES_LOST, kept);
    pg->events->down(pg->arg, kept);
    free(kept);
}

/* ------------------------------------------------------------------------------------ answers */

static void put_copy(struct postgres *pg)
{
    for (size_t i = 0; i < pg->pieces; i++) {
        struct span rest = pg->copy[i];
        while (rest.len > 0) {
            size_t len = rest.len < COPY_PIECE ? rest.len : COPY_PIECE;
            PQputCopyData(pg->conn, rest.ptr, (int)len);
            rest = span_skip(rest, len);
        }
    }
    PQputCopyEnd(pg->conn, NULL);
    pg->pieces = 0;
}

/* A copy that nobody asked for would be told again and again. */
static bool is_senseless(const struct postgres *pg, const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH ||
           (status == PGRES_COPY_IN && pg->pieces == 0);
}

static void take_result(struct postgres *pg, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    PGresult **place = status == PGRES_TUPLES_OK                                     ? &pg->rows
                       : status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE ? &pg->error
                                                                                     : NULL;
    if (status == PGRES_COPY_IN) {
        put_copy(pg);
    }
    if (place == NULL) {
        PQclear(result);
    } else {
        PQclear(*place);
        *place = result;
    }
}

/* read_only_sql_transaction (PostgreSQL manual, appendix A): what was asked for was not done, and
 * nothing that writes will be while this session lasts. */
static bool is_read_only(const struct postgres *pg)
{
    const char *state = pg->error != NULL ? PQresultErrorField(pg->error, PG_DIAG_SQLSTATE) : NULL;
    return state != NULL && strcmp(state, "25006") == 0;
}

static void finish(struct postgres *pg)
{
    if (is_read_only(pg) && !pg->any) {
        fail(pg, "the server has become read-only");
        return;
    }
    pg->state = IDLE;
    event_del(pg->timer);
    backoff_reset(&pg->backoff);
    if (pg->error != NULL) {
        const char *primary = PQresultErrorField(pg->error, PG_DIAG_MESSAGE_PRIMARY);
        bool says = primary != NULL && primary[0] != '\0';
        char *text = mem_dup(span_str(says ? primary : "error without a message"));
        answer(pg, POSTGRES_FAILED, text);
        free(text);
    } else {
        answer(pg, POSTGRES_DONE, "");
    }
}

static void watch_writing(struct postgres *pg)
{
    int left = PQflush(pg->conn);
    if (left > 0) {
        event_add(pg->write, NULL);
    } else {
        event_del(pg->write);
    }
}

static void go_on(struct postgres *pg)
{
    if (PQconsumeInput(pg->conn) == 0) {
        fail(pg, PQerrorMessage(pg->conn));
        return;
    }
    while (pg->state == BUSY && PQisBusy(pg->conn) == 0) {
        PGresult *result = PQgetResult(pg->conn);
        if (result == NULL && PQstatus(pg->conn) == CONNECTION_OK) {
            finish(pg);
        } else if (result == NULL) {
            fail(pg, PQerrorMessage(pg->conn));
        } else if (is_senseless(pg, result)) {
            PQclear(result);
            fail(pg, "the server answers with a copy that was not asked for");
        } else {
            take_result(pg, result);
        }
    }
    if (pg->conn != NULL && PQstatus(pg->conn) == CONNECTION_BAD) {
        fail(pg, PQerrorMessage(pg->conn));
    } else if (pg->conn != NULL && pg->state >= IDLE) {
        watch_writing(pg);
    }
}

/* ------------------------------------------------------------------------------ connecting */

static void on_ready(evutil_socket_t fd, short what, void *arg);

/* While connecting the descriptor may change. */
static void watch(struct postgres *pg)
{
    int fd = PQsocket(pg->conn);
    if (fd == pg->fd) {
        return;
    }
    unwatch(pg);
    pg->fd = fd;
    pg->read = event_new(pg->base, fd, EV_READ | EV_PERSIST, on_ready, pg);
    pg->write = event_new(pg->base, fd, EV_WRITE, on_ready, pg);
}

static void connect_on(struct postgres *pg)
{
    /* libpq may close one descriptor and open another with the same number: watch it again. */
    PostgresPollingStatusType status = PQconnectPoll(pg->conn);
    unwatch(pg);
    if (status == PGRES_POLLING_FAILED) {
        fail(pg, PQerrorMessage(pg->conn));
        return;
    }
    watch(pg);
    if (status == PGRES_POLLING_WRITING) {
        event_add(pg->write, NULL);
    } else {
        event_add(pg->read, NULL);
    }
    if (status == PGRES_POLLING_OK) {
        PQsetnonblocking(pg->conn, 1);
        pg->state = IDLE;
        event_del(pg->timer);
        pg->events->up(pg->arg);
    }
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct postgres *pg = arg;
    (void)fd, (void)what;
    if (pg->state == POSTGRES_CONNECTING) {
        connect_on(pg);
    } else {
        go_on(pg);
    }
}

static void on_notice(void *arg, const PGresult *result)
{
    (void)arg, (void)result;
}

/* Where nothing had to be looked up, the URI's own places count. */
static void on_place(void *arg, const struct postgres_place *place, const char *why)
{
    struct postgres *pg = arg;
    if (place == NULL) {
        fail(pg, why);
        return;
    }
    /* What comes after dbname, which is the URI, stands above it; what comes before does not. */
    static const char *const names[] = {"target_session_attrs",
                                        "dbname",
                                        "application_name",
                                        "client_encoding",
                                        "keepalives_idle",
                                        "keepalives_interval",
                                        "keepalives_count",
                                        "tcp_user_timeout",
                                        "host",
                                        "hostaddr",
                                        "port",
                                        NULL};
    const char *const values[] = {pg->any ? "any" : "read-write",
                                  pg->uri,
                                  pg->name,
                                  "UTF8",
                                  "5",
                                  "2",
                                  "3",
                                  "15000",
                                  place->host,
                                  place->hostaddr,
                                  place->port,
                                  NULL};
    pg->conn = PQconnectStartParams(names, values, 1);
    if (pg->conn == NULL || PQstatus(pg->conn) == CONNECTION_BAD) {
        fail(pg, pg->conn != NULL ? PQerrorMessage(pg->conn) : "no memory");
        return;
    }
    PQsetNoticeReceiver(pg->conn, on_notice, NULL);
    arm(pg, CONNECT_S * 1000);
    watch(pg);
    event_add(pg->write, NULL);
}

static void start(struct postgres *pg)
{
    CHECK(pg->state == POSTGRES_WAITING);
    pg->state = POSTGRES_CONNECTING;
    arm(pg, CONNECT_S * 1000);
    postgres_hosts_ask(pg->hosts, pg->uri);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct postgres *pg = arg;
    (void)fd, (void)what;
    if (pg->state == POSTGRES_WAITING) {
        start(pg);
    } else if (postgres_hosts_are_asked(pg->hosts)) {
        fail(pg, "the name of its host is not answered in time");
    } else {
        postgres_hosts_turn(pg->hosts);
        fail(pg, "no answer in time");
    }
}

/* ------------------------------------------------------------------------------------ calls */

struct postgres *postgres_open(struct event_base *base, struct resolver *resolver, const char *uri,
                               const char *name, const struct postgres_events *events, void *arg)
{
    struct postgres *pg = mem_zalloc(sizeof(*pg));
    pg->base = base;
    pg->uri = uri;
    pg->hosts = postgres_hosts_new(resolver, on_place, pg);
    pg->name = mem_dup(span_str(name));
    pg->events = events;
    pg->arg = arg;
    pg->fd = -1;
    pg->limit_ms = ANSWER_MS;
    pg->backoff = (struct backoff){.first_ms = POSTGRES_BACKOFF_FIRST_MS,
                                   .most_ms = POSTGRES_BACKOFF_MOST_MS};
    pg->timer = evtimer_new(base, on_timer, pg);
    arm(pg, 0);
    return pg;
}

void postgres_close(struct postgres **postgres)
{
    struct postgres *pg = *postgres;
    if (pg == NULL) {
        return;
    }
    *postgres = NULL;
    unwatch(pg);
    event_free(pg->timer);
    forget_results(pg);
    PQfinish(pg->conn);
    postgres_hosts_free(&pg->hosts);
    free(pg->name);
    free(pg);
}

/* What libpq says of it in quotation marks may be a password. */
int postgres_check_uri(const char *uri, char *error, size_t error_size)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(uri, &why);
    if (options == NULL) {
        struct span said = span_str(why != NULL ? why : ""), open = span_cut(&said, '"');
        bool tells = open.len > sizeof("missing ");
        snprintf(error, error_size,
                 "is no connection URI such as postgresql://user@host:5432/name%s%.*s",
                 tells ? ": " : "", tells ? (int)strcspn(open.ptr, ":\"\n") : 0, open.ptr);
    }
    int result = options != NULL ? 0 : -1;
    PQconninfoFree(options);
    PQfreemem(why);
    return result;
}

void postgres_take_any(struct postgres *pg)
{
    pg->any = true;
}

bool postgres_is_idle(const struct postgres *pg)
{
    return pg->state == IDLE;
}

void postgres_query(struct postgres *pg, const char *sql, const struct span *copy, size_t pieces,
                    postgres_fn *fn, void *arg)
{
    CHECK(pg->state == IDLE);
    pg->fn = fn;
    pg->fn_arg = arg;
    pg->pieces = pieces < COPY_PIECES ? pieces : COPY_PIECES;
    for (size_t i = 0; i < pg->pieces; i++) {
        pg->copy[i] = copy[i];
    }
    pg->state = BUSY;
    if (pg->limit_ms > 0) {
        arm(pg, pg->limit_ms);
    }
    PQsendQuery(pg->conn, sql); /* where it fails the connection is bad, and reading says so */
    watch_writing(pg);
    if (PQstatus(pg->conn) == CONNECTION_BAD) {
        event_active(pg->read, EV_READ, 0);
    }
}

const char *postgres_value(const struct postgres_answer *answer, int column)
{
    const PGresult *rows = answer->rows;
    return rows != NULL && PQntuples(rows) > 0 && column < PQnfields(rows) &&
                   PQgetisnull(rows, 0, column) == 0
               ? PQgetvalue(rows, 0, column)
               : NULL;
}

static const char *told(const struct postgres *pg, const char *name)
{
    const char *text = PQparameterStatus(pg->conn, name);
    return text != NULL ? text : "";
}

bool postgres_server(const struct postgres *pg, struct postgres_server *server)
{
    if (pg->state < IDLE) {
        return false;
    }
    *server = (struct postgres_server){
        .host = PQhost(pg->conn),
        .port = PQport(pg->conn),
        .database = PQdb(pg->conn),
        .version = told(pg, "server_version"),
        .standby = strcmp(told(pg, "in_hot_standby"), "on") == 0,
    };
    return true;
}

void postgres_set_limit(struct postgres *pg, uint32_t ms)
{
    pg->limit_ms = ms;
}

void postgres_reset(struct postgres *pg, const char *why)
{
    if (pg->conn != NULL) {
        fail(pg, why);
    }
}
