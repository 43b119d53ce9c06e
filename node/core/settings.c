#include "node/core/settings.h"

#include "store/base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

enum kind { TEXT, BIND, BINDS, ORIGINS, SECRET, STORE, DURATION, SIZE, COUNT, CHOICE };

struct settings_row {
    const char *field, *preset, *choices, *help;
    enum kind kind;
    size_t offset; /* of the value in struct settings */
    int64_t low, high;
};

static const struct settings_row rows[] = {
#define SETTING(field, kind, preset, low, high, choices, help)                                     \
    {#field, preset, choices, help, kind, offsetof(struct settings, field), low, high},
    SETTINGS_TABLE(SETTING)
#undef SETTING
};

enum { ROWS = sizeof(rows) / sizeof(*rows), NAME = 64, SECRET_LIMIT = 64 * 1024 };

/* Variables that the systems which Muster replaces know, and the settings they stand for. */
static const struct {
    const char *variable, *field;
} aliases[] = {
    {"SG_ENV", "env"},
    {"SERVER_SECRET", "dispatch_secret"},
    {"PLACE_SERVER_SECRET", "dispatch_secret"},
};

/* Where a value came from, as the operator wrote it: "--lease" or "MUSTER_LEASE". */
struct source {
    const char *name;
    const struct settings_checks *checks;
    char *error;
    size_t error_size;
};

static int refuse(const struct source *source, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse(const struct source *source, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    snprintf(source->error, source->error_size, "%s: %s", source->name, text);
    return -1;
}

static const char *flag_name(const struct settings_row *row, char out[static NAME])
{
    snprintf(out, NAME, "--%s", row->field);
    for (char *c = out; *c != '\0'; c++) {
        *c = *c == '_' ? '-' : *c;
    }
    return out;
}

static const char *variable_name(const struct settings_row *row, char out[static NAME])
{
    snprintf(out, NAME, "MUSTER_%s", row->field);
    for (char *c = out; *c != '\0'; c++) {
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    }
    return out;
}

/* ------------------------------------------------------------------------------------ values */

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

static void print_number(int64_t value, const struct unit *units, char out[static NAME])
{
    const struct unit *best = units;
    for (; units->suffix != NULL; units++) {
        best = value != 0 && value % units->factor == 0 ? units : best;
    }
    snprintf(out, NAME, "%" PRId64 "%s", value / best->factor, best->suffix);
}

static int set_number(const struct settings_row *row, int64_t *slot, const char *value,
                      const struct unit *units, const char *what, const struct source *source)
{
    int64_t number;
    if (parse_number(value, units, &number) != 0) {
        return refuse(source, "'%s' is no %s", value, what);
    }
    if (number < row->low || number > row->high) {
        char low[NAME], high[NAME];
        print_number(row->low, units, low);
        print_number(row->high, units, high);
        return refuse(source, "must be from %s to %s", low, high);
    }
    *slot = number;
    return 0;
}

static int set_choice(const struct settings_row *row, int64_t *slot, const char *value,
                      const struct source *source)
{
    struct span rest = span_str(row->choices);
    for (int64_t i = 0; rest.ptr != NULL; i++) {
        if (span_eq(span_cut(&rest, '|'), span_str(value))) {
            *slot = i;
            return 0;
        }
    }
    return refuse(source, "must be one of %s", row->choices);
}

static bool is_secret(const struct settings_row *row)
{
    return row->kind == SECRET || row->kind == STORE;
}

static bool is_text(const struct settings_row *row)
{
    return row->kind == TEXT || row->kind == BIND || row->kind == BINDS || row->kind == ORIGINS ||
           is_secret(row);
}

/* One entry of "[name=]host:port,...". */
static int check_named_bind(struct span entry, const struct settings_checks *checks, char *error,
                            size_t error_size)
{
    struct span bind = entry, name = span_cut(&bind, '=');
    char *text = mem_dup(bind.ptr != NULL ? bind : entry);
    int rc = name.len == 0 && bind.ptr != NULL ? -1 : checks->bind(text, error, error_size);
    if (rc != 0) {
        snprintf(error, error_size, "'%.*s' is no [name=]host:port with a numeric host",
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

static int set_text(const struct settings_row *row, char **slot, const char *value,
                    const struct source *source)
{
    char error[200];
    bool optional = row->preset[0] == '\0' || strcmp(row->choices, "off") == 0;
    bool unset = value[0] == '\0' && optional;
    if (row->kind == BIND && !unset && source->checks->bind(value, error, sizeof(error)) != 0) {
        return refuse(source, "%s", error);
    }
    if (row->kind == BINDS && check_binds(value, source->checks, error, sizeof(error)) != 0) {
        return refuse(source, "%s", error);
    }
    if (row->kind == ORIGINS && check_origins(value, error, sizeof(error)) != 0) {
        return refuse(source, "%s", error);
    }
    if (row->kind == STORE && source->checks->store(value, error, sizeof(error)) != 0) {
        return refuse(source, "%s", error);
    }
    free(*slot);
    *slot = mem_dup(span_str(value));
    return 0;
}

static int set_value(const struct settings_row *row, struct settings *settings, const char *value,
                     const struct source *source)
{
    void *slot = (char *)settings + row->offset;
    switch (row->kind) {
    case TEXT:
    case BIND:
    case BINDS:
    case ORIGINS:
    case SECRET:
    case STORE:
        return set_text(row, slot, value, source);
    case DURATION:
        return set_number(row, slot, value, durations, "duration such as 250ms, 10s, 5m or 24h",
                          source);
    case SIZE:
        if (row->choices[0] != '\0' && strcmp(value, row->choices) == 0) {
            *(int64_t *)slot = -1;
            return 0;
        }
        return set_number(row, slot, value, sizes, "size such as 512, 64k or 1m", source);
    case COUNT:
        if (row->choices[0] != '\0' && strcmp(value, row->choices) == 0) {
            *(int64_t *)slot = 0;
            return 0;
        }
        return set_number(row, slot, value, counts, "number", source);
    case CHOICE:
        return set_choice(row, slot, value, source);
    }
    return -1;
}

/* --------------------------------------------------------------------------------- environment */

/* What Kubernetes puts into a pod for each Service whose name begins with "muster". */
static bool is_service_link(const char *variable)
{
    static const char pattern[] =
        "^MUSTER(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT"
        "|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=";
    regex_t regex;
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return false;
    }
    bool matches = regexec(&regex, variable, 0, NULL, 0) == 0;
    regfree(&regex);
    return matches;
}

static int set_from_file(const struct settings_row *row, struct settings *settings,
                         const char *path, const struct source *source)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return refuse(source, "cannot read the file '%s'", path);
    }
    char *text = mem_zalloc(SECRET_LIMIT + 1);
    size_t len = fread(text, 1, SECRET_LIMIT, file);
    fclose(file);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        text[--len] = '\0';
    }
    int result = set_value(row, settings, text, source);
    free(text);
    return result;
}

/* The value of a variable in `env`, or NULL. */
static const char *find_variable(const char *const env[], const char *name)
{
    size_t len = strlen(name);
    for (; *env != NULL; env++) {
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=') {
            return *env + len + 1;
        }
    }
    return NULL;
}

/* Takes the row's variable, or its _FILE, from `env` if it is there. */
static int set_from_environment(const struct settings_row *row, struct settings *settings,
                                const char *const env[], struct source source)
{
    char name[NAME], file_name[NAME + 8];
    snprintf(file_name, sizeof(file_name), "%s_FILE", variable_name(row, name));
    const char *value = find_variable(env, name);
    const char *path = is_secret(row) ? find_variable(env, file_name) : NULL;
    source.name = path != NULL ? file_name : name;
    if (value != NULL && path != NULL) {
        return refuse(&source, "set beside %s; only one can count", name);
    }
    if (path != NULL) {
        return set_from_file(row, settings, path, &source);
    }
    return value != NULL ? set_value(row, settings, value, &source) : 0;
}

static const struct settings_row *find_row(struct span field)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (span_eq(span_str(rows[i].field), field)) {
            return &rows[i];
        }
    }
    return NULL;
}

static bool is_known(struct span variable)
{
    char name[NAME], file_name[NAME + 8];
    for (size_t i = 0; i < ROWS; i++) {
        snprintf(file_name, sizeof(file_name), "%s_FILE", variable_name(&rows[i], name));
        if (span_eq(variable, span_str(name)) ||
            (is_secret(&rows[i]) && span_eq(variable, span_str(file_name)))) {
            return true;
        }
    }
    return false;
}

static int refuse_unknown(const char *const env[], struct source source)
{
    for (; *env != NULL; env++) {
        struct span rest = span_str(*env);
        struct span variable = span_cut(&rest, '=');
        char name[NAME + 16];
        if (span_starts_with(variable, SPAN("MUSTER_")) && !is_known(variable) &&
            !is_service_link(*env)) {
            snprintf(name, sizeof(name), "%.*s", SPAN_ARG(variable));
            source.name = name;
            return refuse(&source, "no such setting; see muster --help");
        }
    }
    return 0;
}

static int read_environment(struct settings *settings, const char *const env[],
                            struct source source)
{
    int result = refuse_unknown(env, source);
    for (size_t i = 0; result == 0 && i < sizeof(aliases) / sizeof(*aliases); i++) {
        const char *value = find_variable(env, aliases[i].variable);
        source.name = aliases[i].variable;
        if (value != NULL) {
            result = set_value(find_row(span_str(aliases[i].field)), settings, value, &source);
        }
    }
    for (size_t i = 0; result == 0 && i < ROWS; i++) {
        result = set_from_environment(&rows[i], settings, env, source);
    }
    return result;
}

/* ------------------------------------------------------------------------------------ flags */

static const struct settings_row *find_flag(struct span flag)
{
    char name[NAME];
    for (size_t i = 0; i < ROWS; i++) {
        if (span_eq(flag, span_str(flag_name(&rows[i], name)))) {
            return &rows[i];
        }
    }
    return NULL;
}

static int read_flags(struct settings *settings, const char *const args[], struct source source)
{
    for (; *args != NULL; args++) {
        struct span value = span_str(*args);
        struct span flag = span_cut(&value, '=');
        const struct settings_row *row = find_flag(flag);
        char shown[NAME];
        snprintf(shown, sizeof(shown), "%.*s", SPAN_ARG(flag));
        source.name = shown;
        if (row == NULL) {
            return refuse(&source, "no such flag; see muster --help");
        }
        if (value.ptr == NULL && args[1] == NULL) {
            return refuse(&source, "a value is missing");
        }
        if (set_value(row, settings, value.ptr != NULL ? value.ptr : *++args, &source) != 0) {
            return -1;
        }
    }
    return 0;
}

/* What is fine for trying things out is refused where it would be a hole. */
static int check_production(const struct settings *settings, struct source source)
{
    if (settings->env == ENV_PRODUCTION && settings->chat_login == CHAT_LOGIN_DEVELOPMENT) {
        source.name = "--chat-login";
        return refuse(&source, "%s", "development is refused where --env is production");
    }
    return 0;
}

int settings_read(struct settings *settings, const char *const args[], const char *const env[],
                  const struct settings_checks *checks, char *error, size_t error_size)
{
    struct source source = {.checks = checks, .error = error, .error_size = error_size};
    *settings = (struct settings){0};
    for (size_t i = 0; i < ROWS; i++) {
        source.name = rows[i].field;
        if (set_value(&rows[i], settings, rows[i].preset, &source) != 0) {
            return -1;
        }
    }
    if (read_environment(settings, env, source) != 0) {
        return -1;
    }
    if (read_flags(settings, args, source) != 0) {
        return -1;
    }
    return check_production(settings, source);
}

void settings_deinit(struct settings *settings)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (is_text(&rows[i])) {
            char **slot = (void *)((char *)settings + rows[i].offset);
            free(*slot);
            *slot = NULL;
        }
    }
}

/* ------------------------------------------------------------------------------------ help */

void settings_print_help(struct buf *out)
{
    char name[NAME];
    for (size_t i = 0; i < ROWS; i++) {
        buf_printf(out, "  %-20s %s", flag_name(&rows[i], name), rows[i].help);
        if (rows[i].kind == CHOICE) {
            buf_printf(out, ": %s", rows[i].choices);
        }
        buf_printf(out, " (default: %s)\n", rows[i].preset[0] != '\0' ? rows[i].preset : "empty");
    }
}

void settings_print_markdown(struct buf *out)
{
    char flag[NAME], variable[NAME];
    buf_printf(out, "| flag | variable | default | |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < ROWS; i++) {
        buf_printf(out, "| `%s` | `%s`%s | %s%s%s | %s", flag_name(&rows[i], flag),
                   variable_name(&rows[i], variable), is_secret(&rows[i]) ? ", `..._FILE`" : "",
                   rows[i].preset[0] != '\0' ? "`" : "none", rows[i].preset,
                   rows[i].preset[0] != '\0' ? "`" : "", rows[i].help);
        struct span rest = span_str(rows[i].kind == CHOICE ? rows[i].choices : "");
        for (const char *before = ": "; rest.len > 0; before = ", ") {
            struct span choice = span_cut(&rest, '|');
            buf_printf(out, "%s`%.*s`", before, SPAN_ARG(choice));
        }
        buf_printf(out, " |\n");
    }
}
