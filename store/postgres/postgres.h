/* SPDX-License-Identifier: MIT */
/* postgres: one connection to PostgreSQL on the event loop, opened again whenever it is lost, with
 * one query at a time. It is kept to servers that can be written to: where the URI does not say
 * otherwise a standby is passed over, and a session whose server has become read-only (SQLSTATE
 * 25006) is given up, so that the next one finds the new primary.
 *
 *     WAITING --back-off--> CONNECTING --> IDLE <--> BUSY
 *        ^                      |            |         |
 *        '------- any failure, or no answer in time ---'
 *
 * CONNECTING begins with the look-up of the URI's names, aside (postgres/hosts.h). */
#ifndef MUSTER_STORE_POSTGRES_POSTGRES_H
#define MUSTER_STORE_POSTGRES_POSTGRES_H

#include "store/base/span.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct postgres;
struct resolver;

/* Can the connection URI be read? 0, or -1 with a message that repeats nothing of it. */
int postgres_check_uri(const char *uri, char *error, size_t error_size)
    __attribute__((warn_unused_result));

struct postgres_events {
    /* A new session: nothing of an older one holds. Queries may be sent from here on. */
    void (*up)(void *arg);
    /* The session is gone, or none could be had. The query that was under way was answered with
     * POSTGRES_LOST before. Text borrowed. */
    void (*down)(void *arg, const char *text);
};

enum postgres_end {
    POSTGRES_DONE,   /* carried out, and committed where nothing else was said */
    POSTGRES_FAILED, /* an error of the server: nothing of it holds */
    POSTGRES_LOST,   /* done or not, the client cannot tell */
};

struct postgres_answer {
    enum postgres_end end;
    const char *sqlstate; /* five letters with POSTGRES_FAILED; else "" */
    const char *text;     /* the error, for a person */
    const void *rows;     /* of the last statement that had some, for postgres_value */
};

/* `answer` and all in it are borrowed until return. */
typedef void postgres_fn(void *arg, const struct postgres_answer *answer);

/* New; tries at once and for ever. `name` is copied, all else borrowed; `uri` is read at each try, so
 * that one that changed counts from the next session on. */
struct postgres *postgres_open(struct event_base *base, struct resolver *resolver, const char *uri,
                               const char *name, const struct postgres_events *events, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* Ends *postgres and nulls it, without any more calls; not inside one of its own calls. */
void postgres_close(struct postgres **postgres);

/* Any server will do from the next session on, a standby, too, unless the URI says otherwise: for one that only
 * reads. */
void postgres_take_any(struct postgres *postgres);

bool postgres_is_idle(const struct postgres *postgres);

/* Sends `sql` (statements with semicolons make one transaction); only when idle. Pieces of `copy`
 * are the data of the one COPY FROM STDIN in it, borrowed until the answer. */
void postgres_query(struct postgres *postgres, const char *sql, const struct span *copy,
                    size_t pieces, postgres_fn *fn, void *arg);

/* The value in the first row, or NULL. */
const char *postgres_value(const struct postgres_answer *answer, int column);

/* The server of the session; text borrowed for the session's life. */
struct postgres_server {
    const char *host, *port, *database, *version;
    bool standby;
};

/* False: there is no session. */
bool postgres_server(const struct postgres *postgres, struct postgres_server *server);

/* How long an answer may take before the session counts as dead, from the next query on; 0: for
 * ever. A minute where nothing is said. */
void postgres_set_limit(struct postgres *postgres, uint32_t ms);

/* Drops the session and builds a new one. */
void postgres_reset(struct postgres *postgres, const char *why);

#endif
