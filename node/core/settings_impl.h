/* SPDX-License-Identifier: MIT */
/* settings rows: the table as data, and where a value comes from. For settings*.c only. */
#ifndef MUSTER_NODE_CORE_SETTINGS_IMPL_H
#define MUSTER_NODE_CORE_SETTINGS_IMPL_H

#include "node/core/settings.h"
#include "store/base/span.h"

#include <stddef.h>

enum settings_kind {
    TEXT,
    BIND,
    BINDS,
    ORIGINS,
    HOSTS,
    SECRET,
    TOKEN,
    STORE,
    DURATION,
    AGE,
    SIZE,
    COUNT,
    SWITCH,
    CHOICE,
};

struct settings_row {
    const char *field, *preset, *choices, *help;
    enum settings_kind kind;
    size_t offset; /* of the value in struct settings */
    int64_t low, high;
};

enum settings_index {
#define GROUP(id, title, verbs)
#define SETTING(field, kind, preset, low, high, choices, help) SETTINGS_AT_##field,
    SETTINGS_TABLE(GROUP, SETTING)
#undef SETTING
#undef GROUP
        SETTINGS_ROWS
};

enum {
    SETTINGS_NAME = 64,             /* bytes for a name in any of its forms */
    SETTINGS_SECRET_ROOM = 8 * 1024 /* bytes for a secret, with its NUL */
};

extern const struct settings_row settings_rows[SETTINGS_ROWS];

/* Where a value came from, as the operator wrote it: "--lease", "MUSTER_LEASE" or "x.conf:3: lease".
 */
struct settings_source {
    const char *name;
    const struct settings_checks *checks;
    char *error;
    size_t error_size;
};

/* Writes "name: text" to the source's error. -1. */
int settings_refuse(const struct settings_source *source, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The three forms of a row's name, in `out`: --store-prefix, store-prefix, MUSTER_STORE_PREFIX. */
const char *settings_flag(const struct settings_row *row, char out[static SETTINGS_NAME]);
const char *settings_name(const struct settings_row *row, char out[static SETTINGS_NAME]);
const char *settings_variable(const struct settings_row *row, char out[static SETTINGS_NAME]);

bool settings_is_text(const struct settings_row *row);
bool settings_is_secret(const struct settings_row *row);

/* Checks `value` and puts it into the row's field. 0, or -1 with the source's error. */
int settings_set(const struct settings_row *row, struct settings *settings, const char *value,
                 const struct settings_source *source) __attribute__((warn_unused_result));

/* The same with the contents of a file, which is a secret's: not empty, no NUL, within its bound. */
int settings_set_from_file(const struct settings_row *row, struct settings *settings,
                           const char *path, const struct settings_source *source)
    __attribute__((warn_unused_result));

/* Appends the value as it would be written. */
void settings_print_value(const struct settings_row *row, const struct settings *settings,
                          struct buf *out);

bool settings_same(const struct settings_row *row, const struct settings *a,
                   const struct settings *b);

/* Moves the value from one to the other; a secret is copied to where it stands. */
void settings_move(const struct settings_row *row, struct settings *to, struct settings *from);

/* Two forms of the row's name are like `word`? The nearest of all flags, names or variables (by what
 * `form` prints), in `out`; NULL when none is near. */
typedef const char *settings_form_fn(const struct settings_row *row,
                                     char out[static SETTINGS_NAME]);
const char *settings_nearest_row(const char *word, settings_form_fn *form,
                                 char out[static SETTINGS_NAME]);

#endif
