/* settings: what the operator says, from flags and environment, by the table in settings_table.h.
 */
#ifndef MUSTER_NODE_CORE_SETTINGS_H
#define MUSTER_NODE_CORE_SETTINGS_H

#include "node/core/settings_table.h"
#include "store/base/buf.h"

#include <stdint.h>

enum settings_env { ENV_DEVELOPMENT, ENV_PRODUCTION };
enum settings_logs_sink { LOGS_SINK_AUTO, LOGS_SINK_OFF, LOGS_SINK_ON };
enum settings_chat_login { CHAT_LOGIN_JWT, CHAT_LOGIN_DEVELOPMENT };

typedef char *settings_TEXT; /* owned, never NULL */
typedef char *settings_BIND;
typedef char *settings_BINDS;
typedef char *settings_ORIGINS;
typedef char *settings_SECRET;
typedef char *settings_STORE;
typedef int64_t settings_DURATION; /* milliseconds */
typedef int64_t settings_SIZE;     /* bytes */
typedef int64_t settings_COUNT;
typedef int64_t settings_CHOICE; /* index into the choices */

struct settings {
#define SETTING(field, kind, preset, low, high, choices, help) settings_##kind field;
    SETTINGS_TABLE(SETTING)
#undef SETTING
};

/* What other layers know of their values: 0, or -1 with a message (that does not repeat the name).
 */
struct settings_checks {
    int (*bind)(const char *text, char *error, size_t error_size);
    int (*store)(const char *url, char *error, size_t error_size);
};

/* Reads defaults, then `env` ("NAME=value", NULL-ended), then `args` (flags, NULL-ended): the later
 * one counts. 0, or -1 with a message in `error` that names the flag or variable. settings_deinit
 * in both cases. */
int settings_read(struct settings *settings, const char *const args[], const char *const env[],
                  const struct settings_checks *checks, char *error, size_t error_size)
    __attribute__((warn_unused_result));

void settings_deinit(struct settings *settings);

/* Appends the list of settings for --help, or as a Markdown table for the README. */
void settings_print_help(struct buf *out);
void settings_print_markdown(struct buf *out);

#endif
