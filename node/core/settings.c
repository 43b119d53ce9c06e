/* SPDX-License-Identifier: MIT */
#include "node/core/settings.h"

#include "node/core/settings_impl.h"
#include "store/base/mem.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Variables that the systems which Muster replaces know, and the settings they stand for. */
static const struct {
    const char *variable, *field;
} aliases[] = {
    {"SERVER_SECRET", "dispatch_secret"},
    {"PLACE_SERVER_SECRET", "dispatch_secret"},
    {"SG_PROCESS_COUNT", "workers"},
};

static const struct settings_row *find_row(struct span word, settings_form_fn *form)
{
    char name[SETTINGS_NAME];
    for (size_t i = 0; i < SETTINGS_ROWS; i++) {
        if (span_eq(span_str(form(&settings_rows[i], name)), word)) {
            return &settings_rows[i];
        }
    }
    return NULL;
}

static const char *field_name(const struct settings_row *row, char out[static SETTINGS_NAME])
{
    snprintf(out, SETTINGS_NAME, "%s", row->field);
    return out;
}

/* Sets from a file named by the operator, and remembers the file. */
static int set_from_file(const struct settings_row *row, struct settings *settings,
                         const char *path, const struct settings_source *source)
{
    buf_append(&settings->files, span_of(path, strlen(path) + 1));
    return settings_set_from_file(row, settings, path, source);
}

static int refuse_unknown(const struct settings_source *source, const char *word,
                          settings_form_fn *form, const char *what)
{
    char near[SETTINGS_NAME];
    if (settings_nearest_row(word, form, near) != NULL) {
        return settings_refuse(source, "no such %s; did you mean %s?", what, near);
    }
    return settings_refuse(source, "no such %s; see muster --help", what);
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
                                const char *const env[], struct settings_source source)
{
    char name[SETTINGS_NAME], file_name[SETTINGS_NAME + 8];
    snprintf(file_name, sizeof(file_name), "%s_FILE", settings_variable(row, name));
    const char *value = find_variable(env, name);
    const char *path = settings_is_secret(row) ? find_variable(env, file_name) : NULL;
    source.name = path != NULL ? file_name : name;
    if (value != NULL && path != NULL) {
        return settings_refuse(&source, "set beside %s; only one can count", name);
    }
    if (path != NULL) {
        return set_from_file(row, settings, path, &source);
    }
    return value != NULL ? settings_set(row, settings, value, &source) : 0;
}

static bool is_known(struct span variable)
{
    char name[SETTINGS_NAME], file_name[SETTINGS_NAME + 8];
    for (size_t i = 0; i < SETTINGS_ROWS; i++) {
        const struct settings_row *row = &settings_rows[i];
        snprintf(file_name, sizeof(file_name), "%s_FILE", settings_variable(row, name));
        if (span_eq(variable, span_str(name)) ||
            (settings_is_secret(row) && span_eq(variable, span_str(file_name)))) {
            return true;
        }
    }
    return false;
}

static int refuse_variables(const char *const env[], struct settings_source source)
{
    for (; *env != NULL; env++) {
        struct span rest = span_str(*env);
        struct span variable = span_cut(&rest, '=');
        char name[SETTINGS_NAME + 16];
        if (span_starts_with(variable, SPAN("MUSTER_")) && !is_known(variable) &&
            !is_service_link(*env)) {
            snprintf(name, sizeof(name), "%.*s", SPAN_ARG(variable));
            source.name = name;
            return refuse_unknown(&source, name, settings_variable, "setting");
        }
    }
    return 0;
}

/* PORT is how hosting services say where to serve; SG_SERVER_HOST and _PORT are the seed's. */
static int set_foreign_address(struct settings *settings, const char *const env[],
                               struct settings_source source)
{
    const char *host = find_variable(env, "SG_SERVER_HOST");
    const char *port = find_variable(env, "SG_SERVER_PORT");
    char bind[300];
    source.name = port != NULL ? "SG_SERVER_PORT" : "PORT";
    port = port != NULL ? port : find_variable(env, "PORT");
    if (host == NULL && port == NULL) {
        return 0;
    }
    source.name = port == NULL ? "SG_SERVER_HOST" : source.name;
    host = host == NULL || host[0] == '\0'  ? "0.0.0.0"
           : strcmp(host, "localhost") == 0 ? "127.0.0.1"
                                            : host;
    bool bare_v6 = strchr(host, ':') != NULL && host[0] != '[';
    snprintf(bind, sizeof(bind), "%s%s%s:%s", bare_v6 ? "[" : "", host, bare_v6 ? "]" : "",
             port != NULL ? port : "8080");
    return settings_set(&settings_rows[SETTINGS_AT_http], settings, bind, &source);
}

static int read_foreign(struct settings *settings, const char *const env[],
                        struct settings_source source)
{
    /* A name that others use, too: no value of it is an error. */
    const char *env_name = find_variable(env, "SG_ENV");
    if (env_name != NULL) {
        settings->env = strcasecmp(env_name, "production") == 0 ? ENV_PRODUCTION : ENV_DEVELOPMENT;
    }
    for (size_t i = 0; i < sizeof(aliases) / sizeof(*aliases); i++) {
        const char *value = find_variable(env, aliases[i].variable);
        source.name = aliases[i].variable;
        if (value != NULL && settings_set(find_row(span_str(aliases[i].field), field_name),
                                          settings, value, &source) != 0) {
            return -1;
        }
    }
    return set_foreign_address(settings, env, source);
}

void settings_print_foreign(const char *const env[], struct buf *out)
{
    static const struct {
        const char *variable, *place;
    } others[] = {
        {"SOCKET_TIMEOUT", "sync-idle"}, {"LOG_LEVEL", "log-level"}, {"SG_LOG_LEVEL", "log-level"}};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        if (find_variable(env, others[i].variable) != NULL) {
            buf_printf(out, "%s means nothing here: %s takes its place\n", others[i].variable,
                       others[i].place);
        }
    }
}

static int read_environment(struct settings *settings, const char *const env[],
                            struct settings_source source)
{
    int result = refuse_variables(env, source);
    if (result == 0) {
        result = read_foreign(settings, env, source);
    }
    for (size_t i = 0; result == 0 && i < SETTINGS_ROWS; i++) {
        result = set_from_environment(&settings_rows[i], settings, env, source);
    }
    return result;
}

/* ------------------------------------------------------------------------------------ the file */

static struct span unquoted(struct span value)
{
    bool quoted = value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"';
    return quoted ? span_of(value.ptr + 1, value.len - 2) : value;
}

/* "name = value", or "name-file = path" for a secret. */
static int read_line(struct settings *settings, struct span line, const char *where,
                     struct settings_source source)
{
    struct span value = line, name = span_trim(span_cut(&value, '='));
    char shown[SETTINGS_NAME + 320], word[SETTINGS_NAME];
    snprintf(word, sizeof(word), "%.*s",
             (int)(name.len < sizeof(word) ? name.len : sizeof(word) - 1), name.ptr);
    snprintf(shown, sizeof(shown), "%.*s: %s", 300, where, word);
    source.name = shown;
    if (value.ptr == NULL) {
        return settings_refuse(&source, "a line is name = value");
    }
    const struct settings_row *row = find_row(name, settings_name);
    const struct settings_row *file_row = NULL;
    if (row == NULL && name.len > 5 && span_eq(span_skip(name, name.len - 5), SPAN("-file"))) {
        file_row = find_row(span_of(name.ptr, name.len - 5), settings_name);
    }
    if (file_row != NULL && !settings_is_secret(file_row)) {
        file_row = NULL;
    }
    if (row == &settings_rows[SETTINGS_AT_config]) {
        return settings_refuse(&source, "stands in no such file");
    }
    if (row == NULL && file_row == NULL) {
        return refuse_unknown(&source, word, settings_name, "setting");
    }
    char *text = mem_dup(unquoted(span_trim(value)));
    int result = row != NULL ? settings_set(row, settings, text, &source)
                             : set_from_file(file_row, settings, text, &source);
    free(text);
    return result;
}

static int read_lines(struct settings *settings, const char *path, struct span text,
                      struct settings_source source)
{
    int result = 0;
    for (unsigned number = 1; result == 0 && text.ptr != NULL; number++) {
        char where[300];
        struct span line = span_trim(span_cut(&text, '\n'));
        snprintf(where, sizeof(where), "%s:%u", path, number);
        if (line.len > 0 && line.ptr[0] != '#') {
            result = read_line(settings, line, where, source);
        }
    }
    return result;
}

static int read_config(struct settings *settings, const char *path, struct settings_source source)
{
    enum { CONFIG_MOST = 1024 * 1024 };
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return settings_refuse(&source, "cannot read the file '%s': %s", path, strerror(errno));
    }
    buf_append(&settings->files, span_of(path, strlen(path) + 1));
    char *text = mem_alloc(CONFIG_MOST);
    errno = 0;
    size_t len = fread(text, 1, CONFIG_MOST, file);
    int error = ferror(file) ? errno : 0;
    fclose(file);
    int result;
    if (error != 0) {
        result = settings_refuse(&source, "cannot read the file '%s': %s", path, strerror(error));
    } else if (len == CONFIG_MOST || memchr(text, '\0', len) != NULL) {
        result = settings_refuse(&source, "the file '%s' is no list of settings", path);
    } else {
        result = read_lines(settings, path, span_of(text, len), source);
    }
    free(text);
    return result;
}

/* ------------------------------------------------------------------------------------ flags */

static int read_flags(struct settings *settings, const char *const args[],
                      struct settings_source source)
{
    for (; *args != NULL; args++) {
        struct span value = span_str(*args);
        struct span flag = span_cut(&value, '=');
        const struct settings_row *row = find_row(flag, settings_flag);
        char shown[SETTINGS_NAME];
        snprintf(shown, sizeof(shown), "%.*s", SPAN_ARG(flag));
        source.name = shown;
        if (row == NULL) {
            return refuse_unknown(&source, shown, settings_flag, "flag");
        }
        if (value.ptr == NULL && args[1] == NULL) {
            return settings_refuse(&source, "a value is missing");
        }
        if (settings_set(row, settings, value.ptr != NULL ? value.ptr : *++args, &source) != 0) {
            return -1;
        }
    }
    return 0;
}

/* The value of --config among the flags, or of its variable; NULL: none. */
static const char *find_config(const char *const args[], const char *const env[],
                               const char **source)
{
    const char *path = find_variable(env, "MUSTER_CONFIG");
    *source = "MUSTER_CONFIG";
    for (; *args != NULL; args++) {
        bool apart = strcmp(*args, "--config") == 0 && args[1] != NULL;
        if (apart || strncmp(*args, "--config=", 9) == 0) {
            path = apart ? args[1] : *args + 9;
            *source = "--config";
        }
    }
    return path != NULL && path[0] != '\0' ? path : NULL;
}

const char *settings_source_of(const struct settings *settings, struct span name,
                               char out[static SETTINGS_SOURCE])
{
    struct span rest = buf_span(&settings->sources);
    snprintf(out, SETTINGS_SOURCE, "--%.*s", SPAN_ARG(name));
    while (rest.len > 0) {
        struct span source = span_cut(&rest, '\0'), set = span_cut(&source, '=');
        if (span_eq(set, name)) {
            snprintf(out, SETTINGS_SOURCE, "%.*s", SPAN_ARG(source)); /* the later one counts */
        }
    }
    return out;
}

/* ------------------------------------------------------------------------------------ life */

/* Refuses settings that are fine for trying things out but would be a security hole in service. */
static int check_production(const struct settings *settings, struct settings_source source)
{
    if (settings->env == ENV_PRODUCTION && settings->chat_login == CHAT_LOGIN_DEVELOPMENT) {
        char name[SETTINGS_SOURCE];
        source.name = settings_source_of(settings, SPAN("chat-login"), name);
        return settings_refuse(&source, "%s", "development is refused where --env is production");
    }
    return 0;
}

static int set_defaults(struct settings *settings, struct settings_source source)
{
    for (size_t i = 0; i < SETTINGS_ROWS; i++) {
        source.name = settings_rows[i].field;
        if (settings_set(&settings_rows[i], settings, settings_rows[i].preset, &source) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Changes with each of the files: which one it is, its length, when it was written. */
static uint64_t stamp_of(const struct buf *files)
{
    uint64_t stamp = 1469598103934665603u;
    struct span rest = buf_span(files);
    while (rest.len > 0) {
        struct stat is = {0};
        struct span path = span_cut(&rest, '\0');
        uint64_t parts[5] = {0};
        if (stat(path.ptr, &is) == 0) {
            parts[0] = is.st_ino;
            parts[1] = (uint64_t)is.st_size;
            parts[2] = (uint64_t)is.st_mtim.tv_sec;
            parts[3] = (uint64_t)is.st_mtim.tv_nsec;
            parts[4] = is.st_dev;
        }
        for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
            stamp = (stamp ^ parts[i]) * 1099511628211u;
        }
    }
    return stamp;
}

int settings_read(struct settings *settings, const char *const args[], const char *const env[],
                  const struct settings_checks *checks, char *error, size_t error_size)
{
    struct settings_source source = {.checks = checks, .error = error, .error_size = error_size};
    *settings = (struct settings){.args = args, .environment = env, .checks = checks};
    const char *config = find_config(args, env, &source.name);
    int result = set_defaults(settings, source);
    if (result == 0 && config != NULL) {
        result = read_config(settings, config, source);
    }
    if (result == 0) {
        result = read_environment(settings, env, source);
    }
    if (result == 0) {
        result = read_flags(settings, args, source);
    }
    settings->stamp = stamp_of(&settings->files);
    return result == 0 ? check_production(settings, source) : -1;
}

void settings_deinit(struct settings *settings)
{
    for (size_t i = 0; i < SETTINGS_ROWS; i++) {
        if (settings_is_text(&settings_rows[i])) {
            char **slot = (void *)((char *)settings + settings_rows[i].offset);
            free(*slot);
            *slot = NULL;
        }
    }
    buf_free(&settings->files);
    buf_free(&settings->sources);
}

/* ------------------------------------------------------------------------------------ again */

static bool is_live(const struct settings_row *row)
{
#define FIELD(field) row == &settings_rows[SETTINGS_AT_##field] ||
    return SETTINGS_LIVE(FIELD) settings_is_secret(row);
#undef FIELD
}

static void take_row(const struct settings_row *row, struct settings *settings,
                     struct settings *fresh, settings_changed_fn *changed, void *arg)
{
    char name[SETTINGS_NAME];
    if (settings_same(row, settings, fresh) ||
        (settings->admin_is_own && row == &settings_rows[SETTINGS_AT_admin])) {
        return;
    }
    if (is_live(row)) {
        settings_move(row, settings, fresh);
    }
    changed(arg, settings_name(row, name), is_live(row));
}

int settings_reload(struct settings *settings, settings_changed_fn *changed, void *arg, char *error,
                    size_t error_size)
{
    struct settings fresh;
    int result = settings_read(&fresh, settings->args, settings->environment, settings->checks,
                               error, error_size);
    for (size_t i = 0; result == 0 && i < SETTINGS_ROWS; i++) {
        take_row(&settings_rows[i], settings, &fresh, changed, arg);
    }
    if (result == 0) {
        struct buf files = settings->files;
        settings->files = fresh.files;
        fresh.files = files;
    }
    settings->stamp = stamp_of(&settings->files);
    settings_deinit(&fresh);
    return result;
}

bool settings_are_stale(const struct settings *settings)
{
    return settings->files.len > 0 && stamp_of(&settings->files) != settings->stamp;
}
