/* migrate: brings a database to the schema of this build. Blocks; not for the event loop. */
#ifndef MUSTER_STORE_MIGRATE_H
#define MUSTER_STORE_MIGRATE_H

#include <stddef.h>

/* What happens, a line at a time, for a person. */
typedef void migrate_say_fn(void *arg, const char *text);

/* Applies what is missing, each migration in a transaction of its own, under an advisory lock: any
 * number may run this at once. A migration that was applied with other text is an error; one that
 * this build does not know is left alone. A server that cannot be reached is tried for `wait_ms`.
 * 0, or -1 with a message in `error`. */
int migrate_run(const char *uri, unsigned wait_ms, migrate_say_fn *say, void *arg, char *error,
                size_t error_size) __attribute__((warn_unused_result));

/* Connects, and compares without changing anything: how many migrations are missing, or -1 with a
 * message. */
int migrate_check(const char *uri, char *error, size_t error_size)
    __attribute__((warn_unused_result));

#endif
