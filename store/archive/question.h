/* SPDX-License-Identifier: MIT */
/* archive question: what is asked, in SQL. */
#ifndef MUSTER_STORE_ARCHIVE_QUESTION_H
#define MUSTER_STORE_ARCHIVE_QUESTION_H

#include "store/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ARCHIVE_LEVELS = 6, /* trace, debug, info, warn, error, fatal */
    ARCHIVE_ENTRIES_MOST = 1000,
    ARCHIVE_BYTES_MOST = 4 * 1024 * 1024, /* of a page, or one entry */
};

/* Names; an empty one means entries that have none. Borrowed, UTF-8 without NUL. */
struct archive_names {
    const struct span *of;
    size_t count;
};

/* Where an entry stands: by time, then by number. All zero: the end at which one begins. */
struct archive_place {
    int64_t time_us; /* unix */
    uint64_t seq;
};

struct archive_question {
    bool forward; /* the oldest first, behind the place; else the newest first, before it */
    struct archive_place place; /* this entry is not among them */
    uint64_t line; /* not 0, instead of `place`: that entry's place, and it is among them */
    int64_t since_us;
    unsigned limit;   /* entries, 1 to ARCHIVE_ENTRIES_MOST */
    unsigned levels;  /* bits, 1 for trace and so on; 0: all */
    struct span room; /* of this room and of none; empty: of all */
    struct archive_names users, not_users, rooms, not_rooms; /* a count of 0: all */
    bool own;                                                /* the nodes' own lines, too */
};

enum { ARCHIVE_QUERY_MS = 5000 };

/* Columns of the one row that answers. */
enum archive_column {
    ARCHIVE_ENTRIES,
    ARCHIVE_COUNT, /* of them */
    ARCHIVE_FOUND, /* before what was over ARCHIVE_BYTES_MOST was left out */
    ARCHIVE_LAST_TIME,
    ARCHIVE_LAST_SEQ,
};

/* Appends statements that make one transaction, which only reads. */
void archive_print_sql(const struct archive_question *question, struct buf *sql);

#endif
