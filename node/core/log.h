/* SPDX-License-Identifier: MIT */
/* log: structured lines on stderr.
 *
 *     2026-11-21T08:00:00.123Z info  listening address=0.0.0.0:8080
 *     {"time":"2026-11-21T08:00:00.123Z","level":"info","msg":"listening","address":"0.0.0.0:8080"}
 *
 * The message names what happened in few words that never vary; what varies stands in fields. */
#ifndef MUSTER_NODE_CORE_LOG_H
#define MUSTER_NODE_CORE_LOG_H

#include "store/base/span.h"

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

/* For the whole process; the start is info, text. */
void log_setup(enum log_level level, enum log_format format);

/* Puts this number of a worker on every line from now on. */
void log_worker(int worker);

/* True when lines of that level are written: ask before gathering costly fields. */
bool log_wants(enum log_level level);

struct log_field {
    const char *name; /* NULL ends the list */
    struct span text; /* when ptr is not NULL */
    int64_t number;
};

#define LOG_TEXT_FIELD(field, value)                                                               \
    {                                                                                              \
        .name = (field), .text = span_str(value)                                                   \
    }
#define LOG_SPAN_FIELD(field, value)                                                               \
    {                                                                                              \
        .name = (field), .text = (value)                                                           \
    }
#define LOG_NUMBER_FIELD(field, value)                                                             \
    {                                                                                              \
        .name = (field), .number = (int64_t)(value)                                                \
    }

/* Writes one line; control characters and broken UTF-8 in fields are escaped, long ones cut. */
void log_line(enum log_level level, const char *message, const struct log_field *fields);

/* From now on each line also goes to `fn` (NULL: no more): as text without the line's end, with
 * where the message begins in it. Lines written inside `fn` do not. */
void log_listen(void (*fn)(void *arg, const char *level, struct span text, size_t msg_at),
                void *arg);

/* log_info("listening", LOG_TEXT_FIELD("address", text), LOG_NUMBER_FIELD("port", 80)) */
#define LOG_AT(level, message, ...)                                                                \
    do {                                                                                           \
        if (log_wants(level)) {                                                                    \
            log_line(level, message, (const struct log_field[]){__VA_ARGS__, {0}});                \
        }                                                                                          \
    } while (0)
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__, {0})
#define log_info(...) LOG_AT(LOG_INFO, __VA_ARGS__, {0})
#define log_warn(...) LOG_AT(LOG_WARN, __VA_ARGS__, {0})
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__, {0})

#endif
