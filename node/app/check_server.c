/* SPDX-License-Identifier: MIT */
#include "node/app/check_impl.h"
#include "store/postgres/inspect.h"

enum { POSTGRES_LEAST = 130000, POSTGRES_SESSIONS_BESIDE = 4 /* of a sink, with its lanes' */ };

static void check_facts(struct check *check, const struct postgres_facts *facts)
{
    bool old = facts->number < POSTGRES_LEAST;
    check_find(check, old ? VERDICT_ERROR : VERDICT_OK, "postgres", "PostgreSQL %s%s",
               facts->version, old ? ": too old, take 13 or newer" : "");
    if (facts->missing[0] != '\0') {
        check_find(check, VERDICT_ERROR, "postgres",
                   "this role may not store: grant it %s, or make it a member of muster_writer",
                   facts->missing);
    } else {
        check_find(check, VERDICT_OK, "postgres", "this role has the rights of a sink");
    }
    if (facts->alone[0] != '\0') {
        check_find(check, VERDICT_ERROR, "postgres",
                   "it waits for a synchronous standby (%s), and none is there: nothing can be "
                   "stored; start one, or empty synchronous_standby_names",
                   facts->alone);
    }
    int needed = (int)check->settings->logs_lanes + POSTGRES_SESSIONS_BESIDE;
    if (facts->sessions < needed) {
        check_find(check, VERDICT_WARN, "postgres",
                   "max_connections is %d, a sink of %u lanes takes up to %d", facts->sessions,
                   (unsigned)check->settings->logs_lanes, needed);
    }
    check_clock(check, "postgres", "the server", facts->ahead_us);
}

void check_postgres_server(struct check *check)
{
    struct postgres_facts facts = {0};
    char error[512];
    if (postgres_inspect(check->settings->postgres, &facts, error, sizeof(error)) == 0) {
        check_facts(check, &facts);
    } else {
        check_find(check, VERDICT_ERROR, "postgres", "%s", error);
    }
}
