/* SPDX-License-Identifier: MIT */
/* migrate: brings a database to the schema of this build. Blocks; not for the event loop. */
#ifndef MUSTER_STORE_POSTGRES_MIGRATE_H
#define MUSTER_STORE_POSTGRES_MIGRATE_H

#include <stddef.h>
#include <stdint.h>

enum migrate_phase {
    MIGRATE_CONNECT, /* the server does not answer yet: tried again */
    MIGRATE_WAIT,    /* another process migrates the same database */
    MIGRATE_APPLY,
    MIGRATE_UPKEEP, /* an index of a day that was there before is built CONCURRENTLY */
};

struct migrate_step {
    enum migrate_phase phase;
    const char *name;   /* MIGRATE_APPLY: of the migration; MIGRATE_UPKEEP: the statement */
    unsigned at, of;    /* MIGRATE_APPLY: the first is 1 */
    uint64_t ms, of_ms; /* how long already; MIGRATE_CONNECT: of how long at most */
};

/* For a person; both may be NULL. Borrowed until migrate_run returns. */
struct migrate_observer {
    /* What happened, a line at a time. */
    void (*say)(void *arg, const char *text);
    /* What is going on: when a migration begins, and several times a second while anything lasts. */
    void (*step)(void *arg, const struct migrate_step *step);
    void *arg;
};

/* Applies what is missing, each migration in a transaction of its own, under an advisory lock: any
 * number may run this at once. Then what log_upkeep names is carried out, each statement alone: indexes
 * of days that are there, built CONCURRENTLY. It may be stopped, and the next run or a sink goes on. A migration that was applied with other text is an error; one that
 * this build does not know is left alone. A server that cannot be reached is tried for `wait_ms`.
 * 0, or -1 with a message in `error`. */
int migrate_run(const char *uri, unsigned wait_ms, const struct migrate_observer *observer,
                char *error, size_t error_size) __attribute__((warn_unused_result));

/* Connects, and compares without changing anything: how many migrations are missing, or -1 with a
 * message. */
int migrate_check(const char *uri, char *error, size_t error_size)
    __attribute__((warn_unused_result));

#endif
