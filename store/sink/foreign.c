/* SPDX-License-Identifier: MIT */
/* What a sink would be told of its stream by log_stream_take, asked without taking it. */
#include "store/sink/sink.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

enum { FOREIGN_CONNECT_S = 5 };

/* A table that is not there is the schema's business. */
static int read_answer(const PGresult *result, char *error, size_t error_size)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (PQresultStatus(result) == PGRES_TUPLES_OK) {
        return PQntuples(result) > 0 && PQnfields(result) > 0 &&
               strcmp(PQgetvalue(result, 0, 0), "t") == 0;
    }
    if (state != NULL && strcmp(state, "42P01") == 0) {
        return 0;
    }
    const char *text = PQresultErrorMessage(result);
    snprintf(error, error_size, "%s",
             text[0] != '\0' ? text : "the server answers what was not asked");
    return -1;
}

int sink_is_foreign(const char *uri, const char *stream, const char *identity, const char *was,
                    char *error, size_t error_size)
{
    static const char sql[] =
        "select identity not in ($2, $3) and seen_at > now() - interval '2 minutes' "
        "from log_stream where stream = $1";
    const char *const words[] = {stream, identity, was};
    const char *const names[] = {"dbname", "connect_timeout", NULL};
    char limit[8];
    snprintf(limit, sizeof(limit), "%d", FOREIGN_CONNECT_S);
    const char *const values[] = {uri, limit, NULL};
    PGconn *conn = PQconnectdbParams(names, values, 1);
    int foreign = -1;
    if (PQstatus(conn) != CONNECTION_OK) {
        snprintf(error, error_size, "%s", PQerrorMessage(conn));
    } else {
        PGresult *result = PQexecParams(conn, sql, 3, NULL, words, NULL, NULL, 0);
        foreign = read_answer(result, error, error_size);
        PQclear(result);
    }
    PQfinish(conn);
    return foreign;
}
