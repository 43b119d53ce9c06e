/* SPDX-License-Identifier: MIT */
/* settings: what the operator says, by the table in settings_table.h: defaults, then the file of
 * --config, then the environment, then flags; the later one counts. */
#ifndef MUSTER_NODE_CORE_SETTINGS_H
#define MUSTER_NODE_CORE_SETTINGS_H

#include "node/core/log.h"
#include "node/core/settings_table.h"
#include "store/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum { ENV_DEVELOPMENT, ENV_PRODUCTION } settings_env;
typedef enum { LOGS_SINK_AUTO, LOGS_SINK_OFF, LOGS_SINK_ON } settings_logs_sink;
typedef enum { CHAT_LOGIN_JWT, CHAT_LOGIN_DEVELOPMENT } settings_chat_login;
typedef enum { TRACKER_DIALECT_DOCUMENTED, TRACKER_DIALECT_SOBANI } settings_tracker_dialect;
typedef enum log_level settings_log_level;
typedef enum log_format settings_log_format;

/* What the kinds are in C. Texts are owned and never NULL. */
#define SETTINGS_C_TEXT(field) char *
#define SETTINGS_C_BIND(field) char *
#define SETTINGS_C_BINDS(field) char *
#define SETTINGS_C_ORIGINS(field) char *
#define SETTINGS_C_HOSTS(field) char *
#define SETTINGS_C_SECRET(field) char *
#define SETTINGS_C_TOKEN(field) char *
#define SETTINGS_C_STORE(field) char *
#define SETTINGS_C_DURATION(field) uint32_t
#define SETTINGS_C_AGE(field) uint64_t
#define SETTINGS_C_SIZE(field) size_t
#define SETTINGS_C_COUNT(field) uint32_t
#define SETTINGS_C_SWITCH(field) bool
#define SETTINGS_C_CHOICE(field) settings_##field

/* What other layers know of their values: 0, or -1 with a message (that does not repeat the name).
 */
struct settings_checks {
    int (*bind)(const char *text, char *error, size_t error_size);
    int (*store)(const char *url, char *error, size_t error_size);
};

/* A secret stays at its address for the settings' life: settings_reload writes the new one there,
 * so that borrowers see it. */
struct settings {
#define GROUP(id, title, verbs)
#define SETTING(field, kind, preset, low, high, choices, help) SETTINGS_C_##kind(field) field;
    SETTINGS_TABLE(GROUP, SETTING)
#undef SETTING
#undef GROUP
    /* As given to settings_read, borrowed. */
    const char *const *args;
    const char *const *environment;
    const struct settings_checks *checks;
    struct buf
        sources; /* "store-prefix=MUSTER_STORE_PREFIX", as the operator wrote it, each with a NUL */
    struct buf files;  /* paths that were read, each with a NUL behind it */
    uint64_t stamp;    /* of these files, as they were */
    bool admin_is_own; /* a worker's admin address is not that of the settings */
};

#undef SETTINGS_C_TEXT
#undef SETTINGS_C_BIND
#undef SETTINGS_C_BINDS
#undef SETTINGS_C_ORIGINS
#undef SETTINGS_C_HOSTS
#undef SETTINGS_C_SECRET
#undef SETTINGS_C_TOKEN
#undef SETTINGS_C_STORE
#undef SETTINGS_C_DURATION
#undef SETTINGS_C_AGE
#undef SETTINGS_C_SIZE
#undef SETTINGS_C_COUNT
#undef SETTINGS_C_SWITCH
#undef SETTINGS_C_CHOICE

/* Reads the settings from `args` (flags, NULL-ended) and `env` ("NAME=value", NULL-ended),
 * which are borrowed for the settings' life, as are `checks`. 0, or -1 with a message in `error` that
 * names the flag, the variable or the line of the file. settings_deinit in both cases. */
int settings_read(struct settings *settings, const char *const args[], const char *const env[],
                  const struct settings_checks *checks, char *error, size_t error_size)
    __attribute__((warn_unused_result));

void settings_deinit(struct settings *settings);

/* How the operator named the setting `name` ("store-prefix") when giving it: the flag, the variable
 * or the file's line; where he did not, or it is none, its flag. In `out`, which is returned. */
enum { SETTINGS_SOURCE = 400 };
const char *settings_source_of(const struct settings *settings, struct span name,
                               char out[static SETTINGS_SOURCE]);

/* Called by settings_reload for each setting that is another one now, by the name in files. `live`:
 * it is in force; else it needs a restart. */
typedef void settings_changed_fn(void *arg, const char *name, bool live);

/* Reads all again, and puts into `settings` what may change while it runs. 0, or -1 with a message,
 * and `settings` are as before. */
int settings_reload(struct settings *settings, settings_changed_fn *changed, void *arg, char *error,
                    size_t error_size) __attribute__((warn_unused_result));

/* Is one of the files that settings were read from another one now? Asks the file system. */
bool settings_are_stale(const struct settings *settings);

/* Appends the settings that mean something to `verb` ("" : all), in groups, within 80 columns. False
 * when there is no such verb. */
bool settings_print_help(const char *verb, struct buf *out);

/* Appends all as entries of the manual page (roff). */
void settings_print_man(struct buf *out);

/* Appends all for shells: every flag, with blanks between; for bash a branch of a case on "verb:word
 * before" for each setting with choices; for fish a line for each setting. */
void settings_print_flags(struct buf *out);
void settings_print_bash(struct buf *out);
void settings_print_fish(struct buf *out);

/* Appends all as a Markdown table for the README. */
void settings_print_markdown(struct buf *out);

/* Appends what is in force as a file for --config; of secrets only whether there is one. */
void settings_print(const struct settings *settings, struct buf *out);

/* The one of `words` (NULL-ended) that `word` is most like, if it is at all; or NULL. */
const char *settings_nearest(const char *word, const char *const words[]);

/* Appends a line for each variable in `env` of the systems that Muster replaces that means nothing
 * here, with the setting that takes its place. */
void settings_print_foreign(const char *const env[], struct buf *out);

#endif
