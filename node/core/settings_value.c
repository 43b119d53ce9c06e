/* SPDX-License-Identifier: MIT */
/* Values: read, checked, printed. */
#include "node/core/settings_impl.h"
#include "store/base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SECOND 1000
#define HOUR (3600 * SECOND)
#define KIB 1024
#define GIB (1024LL * 1024 * KIB)

const struct settings_row settings_rows[SETTINGS_ROWS] = {
#define GROUP(id, title, verbs)
#define SETTING(field, kind, preset, low, high, choices, help)                                     \
    {#field, preset, choices, help, kind, offsetof(struct settings, field), low, high},
    SETTINGS_TABLE(GROUP, SETTING)
#undef SETTING
#undef GROUP
};

#undef SECOND
#undef HOUR
#undef KIB
#undef GIB

_Static_assert(sizeof(settings_env) == sizeof(int) && sizeof(settings_log_level) == sizeof(int),
               "a choice is written as an int");

enum { TOKENS_MOST = 2 };

int settings_refuse(const struct settings_source *source, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    snprintf(source->error, source->error_size, "%s: %s", source->name, text);
    return -1;
}

const char *settings_name(const struct settings_row *row, char out[static SETTINGS_NAME])
{
    snprintf(out, SETTINGS_NAME, "%s", row->field);
    for (char *c = out; *c != '\0'; c++) {
        *c = *c == '_' ? '-' : *c;
    }
    return out;
}

const char *settings_flag(const struct settings_row *row, char out[static SETTINGS_NAME])
{
    char name[SETTINGS_NAME];
    snprintf(out, SETTINGS_NAME, "--%.*s", SETTINGS_NAME - 3, settings_name(row, name));
    return out;
}

const char *settings_variable(const struct settings_row *row, char out[static SETTINGS_NAME])
{
    snprintf(out, SETTINGS_NAME, "MUSTER_%s", row->field);
    for (char *c = out; *c != '\0'; c++) {
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    }
    return out;
}

bool settings_is_secret(const struct settings_row *row)
{
    return row->kind == SECRET || row->kind == TOKEN || row->kind == STORE;
}

bool settings_is_text(const struct settings_row *row)
{
    return row->kind == TEXT || row->kind == BIND || row->kind == BINDS || row->kind == ORIGINS ||
           row->kind == HOSTS || settings_is_secret(row);
}

/* ------------------------------------------------------------------------------------ numbers */

struct unit {
    const char *suffix;
    int64_t factor;
};

static const struct unit durations[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                        {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit sizes[] = {
    {"", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {NULL, 0}};
static const struct unit counts[] = {{"", 1}, {NULL, 0}};

/* Reads digits and one of the units. 0, or -1. */
static int parse_number(const char *text, const struct unit *units, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9') {
        return -1;
    }
    if (number == 0 && *end == '\0') {
        *value = 0;
        return 0;
    }
    for (; units->suffix != NULL; units++) {
        if (strcasecmp(end, units->suffix) == 0 && number <= INT64_MAX / units->factor) {
            *value = number * units->factor;
            return 0;
        }
    }
    return -1;
}

static void print_number(int64_t value, const struct unit *units, char out[static SETTINGS_NAME])
{
    const struct unit *best = units;
    for (; units->suffix != NULL; units++) {
        best = value != 0 && value % units->factor == 0 ? units : best;
    }
    snprintf(out, SETTINGS_NAME, "%" PRId64 "%s", value / best->factor, best->suffix);
}

static const struct unit *units_of(const struct settings_row *row)
{
    switch (row->kind) {
    case DURATION:
    case AGE:
        return durations;
    case SIZE:
        return sizes;
    default:
        return counts;
    }
}

static const char *noun_of(const struct settings_row *row)
{
    const struct unit *units = units_of(row);
    return units == durations ? "duration such as 250ms, 10s, 5m or 24h"
           : units == sizes   ? "size such as 512, 64k or 1m"
                              : "number";
}

static void store_number(const struct settings_row *row, void *slot, int64_t number)
{
    switch (row->kind) {
    case AGE:
        *(uint64_t *)slot = (uint64_t)number;
        break;
    case SIZE:
        *(size_t *)slot = (size_t)number;
        break;
    default:
        *(uint32_t *)slot = (uint32_t)number;
    }
}

static int64_t load_number(const struct settings_row *row, const void *slot)
{
    switch (row->kind) {
    case AGE:
        return (int64_t) * (const uint64_t *)slot;
    case SIZE:
        return (int64_t) * (const size_t *)slot;
    default:
        return *(const uint32_t *)slot;
    }
}

/* What the row's word stands for. */
static int64_t word_number(const struct settings_row *row)
{
    return row->kind == SIZE ? -1 : 0;
}

static int set_number(const struct settings_row *row, void *slot, const char *value,
                      const struct settings_source *source)
{
    int64_t number;
    if (row->choices[0] != '\0' && strcmp(value, row->choices) == 0) {
        store_number(row, slot, word_number(row));
        return 0;
    }
    if (parse_number(value, units_of(row), &number) != 0) {
        return settings_refuse(source, "'%s' is no %s", value, noun_of(row));
    }
    if (number < row->low || number > row->high) {
        char low[SETTINGS_NAME], high[SETTINGS_NAME];
        print_number(row->low, units_of(row), low);
        print_number(row->high, units_of(row), high);
        return settings_refuse(source, "must be from %s to %s", low, high);
    }
    store_number(row, slot, number);
    return 0;
}

static int find_choice(const struct settings_row *row, const char *value)
{
    struct span rest = span_str(row->choices);
    for (int i = 0; rest.ptr != NULL; i++) {
        if (span_eq(span_cut(&rest, '|'), span_str(value))) {
            return i;
        }
    }
    return -1;
}

static int set_choice(const struct settings_row *row, void *slot, const char *value,
                      const struct settings_source *source)
{
    int choice = find_choice(row, value);
    if (choice < 0) {
        return settings_refuse(source, "must be one of %s", row->choices);
    }
    if (row->kind == SWITCH) {
        *(bool *)slot = choice == 1;
    } else {
        memcpy(slot, &choice, sizeof(choice));
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ texts */

/* One entry of "[name=]host:port,...". */
static int check_named_bind(struct span entry, const struct settings_checks *checks, char *error,
                            size_t error_size)
{
    struct span bind = entry, name = span_cut(&bind, '=');
    char *text = mem_dup(bind.ptr != NULL ? bind : entry);
    int rc = name.len == 0 && bind.ptr != NULL ? -1 : checks->bind(text, error, error_size);
    if (rc != 0) {
        snprintf(error, error_size, "'%.*s' is no [name=]host:port whose host is known here",
                 SPAN_ARG(entry));
    }
    free(text);
    return rc;
}

static int check_binds(const char *value, const struct settings_checks *checks, char *error,
                       size_t error_size)
{
    struct span rest = span_str(value);
    int rc = 0;
    while (rc == 0 && rest.ptr != NULL && value[0] != '\0') {
        rc = check_named_bind(span_trim(span_cut(&rest, ',')), checks, error, error_size);
    }
    return rc;
}

/* As browsers write them in the field Origin (RFC 6454, 6.2): nothing stands behind host and port.
 */
static int check_origins(const char *value, char *error, size_t error_size)
{
    struct span rest = span_str(value);
    while (rest.ptr != NULL && value[0] != '\0') {
        struct span entry = span_trim(span_cut(&rest, ',')), host = entry;
        struct span scheme = span_cut(&host, ':');
        bool sound = scheme.len > 0 && span_starts_with(host, SPAN("//")) && host.len > 2 &&
                     memchr(host.ptr + 2, '/', host.len - 2) == NULL &&
                     memchr(entry.ptr, ' ', entry.len) == NULL;
        if (!sound) {
            snprintf(error, error_size, "'%.*s' is no scheme://host[:port]", SPAN_ARG(entry));
            return -1;
        }
    }
    return 0;
}

/* As they stand in the field Host, without a port. */
static int check_hosts(const char *value, char *error, size_t error_size)
{
    struct span rest = span_str(value);
    while (rest.ptr != NULL && value[0] != '\0') {
        struct span entry = span_trim(span_cut(&rest, ','));
        size_t sound = 0;
        while (sound < entry.len && (isalnum((unsigned char)entry.ptr[sound]) != 0 ||
                                     memchr("-_.", entry.ptr[sound], 3) != NULL)) {
            sound++;
        }
        if (!span_eq(entry, SPAN("*")) && (entry.len == 0 || sound < entry.len)) {
            snprintf(error, error_size, "'%.*s' is no name of a host", SPAN_ARG(entry));
            return -1;
        }
    }
    return 0;
}

/* No token on the wire has a line end, so that one can stand between two. */
static int check_tokens(const char *value, char *error, size_t error_size)
{
    int count = 0;
    for (const char *c = value; *c != '\0'; c++) {
        bool ends = *c == '\r' || *c == '\n';
        count += !ends && (c == value || c[-1] == '\r' || c[-1] == '\n');
    }
    if (count > TOKENS_MOST || (count == 0 && value[0] != '\0')) {
        snprintf(error, error_size, "holds %d lines; a token is one, and at most two count", count);
        return -1;
    }
    return 0;
}

static int check_text(const struct settings_row *row, const char *value,
                      const struct settings_checks *checks, char *error, size_t error_size)
{
    bool optional = row->preset[0] == '\0' || strcmp(row->choices, "off") == 0;
    switch (row->kind) {
    case BIND:
        return value[0] == '\0' && optional ? 0 : checks->bind(value, error, error_size);
    case BINDS:
        return check_binds(value, checks, error, error_size);
    case ORIGINS:
        return check_origins(value, error, error_size);
    case HOSTS:
        return check_hosts(value, error, error_size);
    case STORE:
        return checks->store(value, error, error_size);
    case TOKEN:
        return check_tokens(value, error, error_size);
    default:
        return 0;
    }
}

/* A secret stays where it is. */
static void put_text(const struct settings_row *row, char **slot, const char *value)
{
    if (settings_is_secret(row)) {
        *slot = *slot != NULL ? *slot : mem_zalloc(SETTINGS_SECRET_ROOM);
        snprintf(*slot, SETTINGS_SECRET_ROOM, "%s", value);
    } else {
        free(*slot);
        *slot = mem_dup(span_str(value));
    }
}

static int set_text(const struct settings_row *row, char **slot, const char *value,
                    const struct settings_source *source)
{
    char error[300];
    if (settings_is_secret(row) && strlen(value) >= SETTINGS_SECRET_ROOM) {
        return settings_refuse(source, "is longer than %d bytes", SETTINGS_SECRET_ROOM - 1);
    }
    if (check_text(row, value, source->checks, error, sizeof(error)) != 0) {
        return settings_refuse(source, "%s", error);
    }
    put_text(row, slot, value);
    return 0;
}

static int set_slot(const struct settings_row *row, void *slot, const char *value,
                    const struct settings_source *source)
{
    if (settings_is_text(row)) {
        return set_text(row, slot, value, source);
    }
    return row->kind == CHOICE || row->kind == SWITCH ? set_choice(row, slot, value, source)
                                                      : set_number(row, slot, value, source);
}

int settings_set(const struct settings_row *row, struct settings *settings, const char *value,
                 const struct settings_source *source)
{
    char name[SETTINGS_NAME];
    int result = set_slot(row, (char *)settings + row->offset, value, source);
    if (result == 0 && source->name != row->field) { /* else it is the default */
        buf_printf(&settings->sources, "%s=%s", settings_name(row, name), source->name);
        buf_append(&settings->sources, span_of("", 1));
    }
    return result;
}

/* ------------------------------------------------------------------------------------ files */

/* The file's bytes in `text`, with a NUL behind them; how many, or -1 with errno. */
static ssize_t read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -1;
    }
    errno = 0;
    size_t len = fread(text, 1, size - 1, file);
    int error = ferror(file) ? errno : 0;
    fclose(file);
    text[len] = '\0';
    errno = error;
    return error == 0 ? (ssize_t)len : -1;
}

int settings_set_from_file(const struct settings_row *row, struct settings *settings,
                           const char *path, const struct settings_source *source)
{
    enum { ROOM = SETTINGS_SECRET_ROOM + 2 };
    char *text = mem_zalloc(ROOM);
    ssize_t len = read_file(path, text, ROOM);
    int result;
    if (len < 0) {
        result = settings_refuse(source, "cannot read the file '%s': %s", path, strerror(errno));
    } else if (len >= SETTINGS_SECRET_ROOM) {
        result = settings_refuse(source, "the file '%s' is longer than %d bytes", path,
                                 SETTINGS_SECRET_ROOM - 1);
    } else if (memchr(text, '\0', (size_t)len) != NULL) {
        result = settings_refuse(source, "the file '%s' holds a NUL byte", path);
    } else {
        while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
            text[--len] = '\0';
        }
        result = len > 0 ? settings_set(row, settings, text, source)
                         : settings_refuse(source, "the file '%s' is empty", path);
    }
    free(text);
    return result;
}

/* ------------------------------------------------------------------------------------ both ways */

void settings_print_value(const struct settings_row *row, const struct settings *settings,
                          struct buf *out)
{
    const void *slot = (const char *)settings + row->offset;
    char text[SETTINGS_NAME];
    if (settings_is_text(row)) {
        buf_printf(out, "%s", *(char *const *)slot);
    } else if (row->kind == CHOICE || row->kind == SWITCH) {
        struct span rest = span_str(row->choices), word = {0};
        int choice = row->kind == SWITCH ? *(const bool *)slot : *(const int *)slot;
        for (int i = 0; i <= choice; i++) {
            word = span_cut(&rest, '|');
        }
        buf_append(out, word);
    } else if (row->choices[0] != '\0' && load_number(row, slot) == word_number(row)) {
        buf_printf(out, "%s", row->choices);
    } else {
        print_number(load_number(row, slot), units_of(row), text);
        buf_printf(out, "%s", text);
    }
}

bool settings_same(const struct settings_row *row, const struct settings *a,
                   const struct settings *b)
{
    struct buf one = {0}, two = {0};
    settings_print_value(row, a, &one);
    settings_print_value(row, b, &two);
    bool same = span_eq(buf_span(&one), buf_span(&two));
    buf_free(&one);
    buf_free(&two);
    return same;
}

void settings_move(const struct settings_row *row, struct settings *to, struct settings *from)
{
    void *slot = (char *)to + row->offset;
    const void *value = (const char *)from + row->offset;
    if (settings_is_text(row)) {
        put_text(row, slot, *(char *const *)value);
    } else if (row->kind == CHOICE) {
        memcpy(slot, value, sizeof(int));
    } else if (row->kind == SWITCH) {
        *(bool *)slot = *(const bool *)value;
    } else {
        store_number(row, slot, load_number(row, value));
    }
}
