/* SPDX-License-Identifier: MIT */
#include "store/postgres/inspect.h"

#include "store/base/clock.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { INSPECT_COLUMNS = 6 };

/* What is not there yet is migrate's business. */
static const char question[] =
    "select current_setting('server_version_num'), current_setting('server_version'), "
    "(extract(epoch from clock_timestamp()) * 1000000)::bigint, "
    "coalesce((select string_agg(right_, ', ') from (values "
    "('insert on log_entry', has_table_privilege(to_regclass('log_entry'), 'insert')), "
    "('select on log_lane', has_table_privilege(to_regclass('log_lane'), 'select')), "
    "('insert on log_lane', has_table_privilege(to_regclass('log_lane'), 'insert')), "
    "('update on log_lane', has_table_privilege(to_regclass('log_lane'), 'update')), "
    "('insert on log_entry_rejected', "
    "has_table_privilege(to_regclass('log_entry_rejected'), 'insert')), "
    "('execute on log_partition_make', "
    "has_function_privilege(to_regprocedure('log_partition_make(date)'), 'execute'))) "
    "as it(right_, has) where not has), ''), "
    "case when current_setting('synchronous_standby_names') = '' or exists (select from "
    "pg_stat_replication where sync_state in ('sync', 'quorum')) then '' "
    "else current_setting('synchronous_standby_names') end, current_setting('max_connections')";

int postgres_inspect(const char *uri, struct postgres_facts *facts, char *error, size_t error_size)
{
    PGconn *conn = PQconnectdb(uri);
    uint64_t before = clock_unix_ms();
    PGresult *answer = PQexec(conn, question);
    uint64_t middle_us = (before + clock_unix_ms()) / 2 * 1000;
    int result = -1;
    bool whole = PQntuples(answer) == 1 && PQnfields(answer) == INSPECT_COLUMNS;
    if (PQresultStatus(answer) == PGRES_TUPLES_OK && whole) {
        facts->number = atoi(PQgetvalue(answer, 0, 0));
        snprintf(facts->version, sizeof(facts->version), "%s", PQgetvalue(answer, 0, 1));
        facts->ahead_us = strtoll(PQgetvalue(answer, 0, 2), NULL, 10) - (int64_t)middle_us;
        snprintf(facts->missing, sizeof(facts->missing), "%s", PQgetvalue(answer, 0, 3));
        snprintf(facts->alone, sizeof(facts->alone), "%s", PQgetvalue(answer, 0, 4));
        facts->sessions = atoi(PQgetvalue(answer, 0, 5));
        result = 0;
    } else {
        const char *text = PQerrorMessage(conn);
        snprintf(error, error_size, "%s",
                 text[0] != '\0' ? text : "it does not say what it was asked for");
    }
    PQclear(answer);
    PQfinish(conn);
    return result;
}
