/* SPDX-License-Identifier: MIT */
#include "node/app/terminal.h"

#include "store/base/buf.h"
#include "store/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct terminal_verb {
    const char *name;
    int (*run)(char *const args[]);
} verbs[] = {
    {"status", verb_status},   {"tail", verb_tail}, {"token", verb_token},
    {"version", verb_version}, {"help", verb_help},
};
enum { TERMINAL_VERBS = sizeof(verbs) / sizeof(*verbs) };

bool terminal_run(char *const args[], int *status)
{
    char *const as_verb[] = {NULL};
    if (strcmp(args[1], "-V") == 0) {
        *status = verb_version(as_verb);
        return true;
    }
    for (size_t i = 0; i < TERMINAL_VERBS; i++) {
        if (strcmp(args[1], verbs[i].name) == 0) {
            *status = verbs[i].run(args + 2);
            return true;
        }
    }
    return false;
}

bool terminal_help(const char *verb)
{
    static char help[] = "--help";
    char *const args[] = {help, NULL};
    for (size_t i = 0; i < TERMINAL_VERBS; i++) {
        if (strcmp(verb, verbs[i].name) == 0) {
            verbs[i].run(args);
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------------------------ flags */

static void print_flags(const char *verb, const struct terminal_flag *flags)
{
    printf("usage: muster %s", verb);
    for (const struct terminal_flag *flag = flags; flag->name != NULL; flag++) {
        printf(" [--%s%s%s]", flag->name, flag->what != NULL ? " " : "",
               flag->what != NULL ? flag->what : "");
    }
    printf("\n\n");
    for (const struct terminal_flag *flag = flags; flag->name != NULL; flag++) {
        char left[48];
        snprintf(left, sizeof(left), "--%s %s", flag->name, flag->what != NULL ? flag->what : "");
        printf("  %-22s %s", left, flag->help);
        if (flag->env != NULL) {
            printf(" (also %s)", flag->env);
        }
        printf("\n");
    }
}

/* 90, 250ms, 10s, 5m, 24h, 7d; -1 when it is none. A bare number is of seconds. */
static int64_t read_time(const char *text)
{
    static const struct time_unit {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1},        {"s", 1000},        {"", 1000},
                 {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000}};
    char *end;
    long long count = strtoll(text, &end, 10);
    if (end == text || count < 0 || count > 1000000000) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (strcmp(end, units[i].name) == 0) {
            return count * units[i].ms;
        }
    }
    return -1;
}

static bool set_flag(const char *verb, const struct terminal_flag *flag, const char *value)
{
    if (flag->kind == TERMINAL_TEXT) {
        *(const char **)flag->value = value;
        return true;
    }
    int64_t ms = read_time(value);
    if (ms < 0) {
        fprintf(stderr, "muster %s: --%s: '%s' is no time such as 30s, 10m, 2h\n", verb, flag->name,
                value);
        return false;
    }
    *(int64_t *)flag->value = ms;
    return true;
}

static const struct terminal_flag *find_flag(const struct terminal_flag *flags, const char *word,
                                             size_t len)
{
    for (; flags->name != NULL; flags++) {
        if (strlen(flags->name) == len && memcmp(flags->name, word, len) == 0) {
            return flags;
        }
    }
    return NULL;
}

/* Reads one flag; the number of words that it took, or 0 after a mistake. */
static int read_flag(const char *verb, char *const args[], const struct terminal_flag *flags)
{
    const char *word = args[0] + 2, *value = strchr(word, '=');
    size_t len = value != NULL ? (size_t)(value - word) : strlen(word);
    const struct terminal_flag *flag =
        strncmp(args[0], "--", 2) == 0 ? find_flag(flags, word, len) : NULL;
    if (flag == NULL) {
        fprintf(stderr, "muster %s: '%s' is no flag of it; see muster help %s\n", verb, args[0],
                verb);
        return 0;
    }
    if (flag->kind == TERMINAL_SWITCH) {
        *(bool *)flag->value = true;
        return 1;
    }
    if (value == NULL && args[1] == NULL) {
        fprintf(stderr, "muster %s: --%s wants a value: %s\n", verb, flag->name, flag->what);
        return 0;
    }
    if (!set_flag(verb, flag, value != NULL ? value + 1 : args[1])) {
        return 0;
    }
    return value != NULL ? 1 : 2;
}

bool terminal_flags(const char *verb, char *const args[], const struct terminal_flag *flags,
                    int *status)
{
    *status = 2;
    for (const struct terminal_flag *flag = flags; flag->name != NULL; flag++) {
        const char *value = flag->env != NULL ? getenv(flag->env) : NULL;
        if (value != NULL && value[0] != '\0' && !set_flag(verb, flag, value)) {
            return false;
        }
    }
    while (*args != NULL) {
        if (strcmp(*args, "--help") == 0 || strcmp(*args, "-h") == 0) {
            print_flags(verb, flags);
            *status = 0;
            return false;
        }
        int words = read_flag(verb, args, flags);
        if (words == 0) {
            return false;
        }
        args += words;
    }
    return true;
}

/* ------------------------------------------------------------------------------------ output */

bool terminal_has_colours(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == NULL && kind != NULL &&
           strcmp(kind, "dumb") != 0;
}

/* `indent` below 0: all of it stands on one line. */
static void escape(struct span text, int indent, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        unsigned char next = i + 1 < text.len ? (unsigned char)text.ptr[i + 1] : 0;
        if (byte == '\n' && indent >= 0) {
            buf_printf(out, "\n%*s", indent, "");
        } else if (byte == '\t' && indent >= 0) {
            buf_append(out, SPAN("\t"));
        } else if (byte < ' ' || byte == 0x7f) {
            buf_printf(out, "\\x%02x", byte);
        } else if (byte == 0xc2 && next >= 0x80 &&
                   next < 0xa0) { /* U+0080 to U+009F: controls, too */
            buf_printf(out, "\\x%02x", next);
            i++;
        } else {
            buf_append(out, span_of(text.ptr + i, 1));
        }
    }
}

bool terminal_print(const char *text, size_t len, int indent)
{
    struct buf out = {0};
    escape(span_of(text, len), indent, &out);
    fwrite(buf_text(&out), 1, out.len, stdout); /* of nothing, too */
    buf_free(&out);
    return ferror(stdout) == 0;
}

void terminal_complain(const char *text, size_t len)
{
    struct buf out = {0};
    escape(span_of(text, len), 0, &out);
    fprintf(stderr, "%s\n", buf_text(&out));
    buf_free(&out);
}

static int column(const char *text, size_t most, struct buf *out)
{
    int width = 0;
    escape(utf8_cut(span_str(text), most), -1, out);
    for (size_t i = 0; i < out->len; i++) {
        width += ((unsigned char)out->ptr[i] & 0xc0) != 0x80; /* the first byte of a character */
    }
    return width;
}

int terminal_width(const char *text, size_t most)
{
    struct buf out = {0};
    int width = column(text, most, &out);
    buf_free(&out);
    return width;
}

void terminal_print_column(const char *text, int width, size_t most)
{
    struct buf out = {0};
    int left = width - column(text, most, &out);
    printf("%s%*s", buf_text(&out), left > 0 ? left : 0, "");
    buf_free(&out);
}

/* ------------------------------------------------------------------------------------ numbers */

uint64_t terminal_number(double value)
{
    return value > 0 && value < (double)(1ULL << 53) ? (uint64_t)value : 0;
}

struct tm terminal_time(uint64_t ms, bool utc)
{
    time_t s = (time_t)(ms / 1000);
    struct tm then = {0};
    if (utc) {
        gmtime_r(&s, &then);
    } else {
        localtime_r(&s, &then);
    }
    return then;
}

char *terminal_url(const char *http, const char *path)
{
    struct buf url = {0};
    if (strstr(http, "://") == NULL) {
        buf_append(&url, SPAN("http://"));
    }
    buf_append(&url, span_str(http));
    while (url.len > 0 && url.ptr[url.len - 1] == '/') {
        url.len--;
    }
    buf_printf(&url, "/%s", path);
    char *copy = strdup(buf_text(&url));
    buf_free(&url);
    return copy;
}
