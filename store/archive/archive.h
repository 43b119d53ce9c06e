/* SPDX-License-Identifier: MIT */
/* archive: log entries that were stored, read back from PostgreSQL (migrations/) a page at a time.
 *
 *     archive_ask --> line of at most ARCHIVE_WAITING_MOST --> one query at a time --> fn
 *
 * The session begins with a question and ends when none came for a minute. Each query is a
 * transaction that may only read, and that the server ends after five seconds. Any server will do,
 * a standby, too, and any role that may read log_entry (muster_reader). */
#ifndef MUSTER_STORE_ARCHIVE_ARCHIVE_H
#define MUSTER_STORE_ARCHIVE_ARCHIVE_H

#include "store/archive/question.h"

#include <event2/event.h>

struct archive;

enum { ARCHIVE_WAITING_MOST = 16 };

struct archive_answer {
    const char *error;   /* for a person; NULL: all below holds */
    struct span entries; /* a JSON array in the order that was asked for, as listeners get them */
    size_t count;
    bool more; /* there may be further ones, behind `last` */
    struct archive_place last;
};

/* `answer` and all in it are borrowed until return. */
typedef void archive_fn(void *arg, const struct archive_answer *answer);

/* New, without a session. `base` and `uri` are borrowed; `uri` is read at each try to connect. `name` is
 * copied: the asker's name, for pg_stat_activity. */
struct archive *archive_new(struct event_base *base, const char *uri, const char *name)
    __attribute__((returns_nonnull, warn_unused_result));

/* Frees, without any more calls; not inside an `fn`. NULL inside is fine. */
void archive_free(struct archive **archive);

/* Asks; `fn` is called once, from the loop, never inside this call. 0, or -1 when too many wait. */
int archive_ask(struct archive *archive, const struct archive_question *question, archive_fn *fn,
                void *arg) __attribute__((warn_unused_result));

#endif
