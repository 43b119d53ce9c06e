/* SPDX-License-Identifier: MIT */
/* What people are told of the settings: help, tables, what is in force, what they may have meant. */
#include "node/core/settings_impl.h"

#include <stdio.h>
#include <stdlib.h>

enum { HELP_COLUMNS = 80, INDENT = 6, WORD_MOST = 64, DISTANCE_MOST = 3 };

/* A group begins at the row that stands behind it in the table. */
enum group_at {
#define GROUP(id, title, verbs) GROUP_AT_##id, GROUP_BEFORE_##id = GROUP_AT_##id - 1,
#define SETTING(field, kind, preset, low, high, choices, help) GROUP_PAST_##field,
    SETTINGS_TABLE(GROUP, SETTING)
#undef SETTING
#undef GROUP
};

static const struct {
    const char *title;
    unsigned verbs;
    int at;
} groups[] = {
#define GROUP(id, title, verbs) {title, verbs, GROUP_AT_##id},
#define SETTING(field, kind, preset, low, high, choices, help)
    SETTINGS_TABLE(GROUP, SETTING)
#undef SETTING
#undef GROUP
};

enum { GROUPS = sizeof(groups) / sizeof(*groups) };

/* ------------------------------------------------------------------------------------ help */

/* Appends `text` in lines of at most HELP_COLUMNS, each begun by INDENT blanks. */
static void wrap(struct span text, struct buf *out)
{
    size_t column = 0;
    while (text.len > 0) {
        struct span word = span_cut(&text, ' ');
        if (column > 0 && column + 1 + word.len > HELP_COLUMNS) {
            buf_printf(out, "\n");
            column = 0;
        }
        buf_printf(out, "%*s%.*s", column == 0 ? INDENT : 1, "", SPAN_ARG(word));
        column += (column == 0 ? INDENT : 1) + word.len;
    }
    buf_printf(out, "\n");
}

static void print_row(const struct settings_row *row, struct buf *out)
{
    char name[SETTINGS_NAME];
    struct buf text = {0};
    buf_printf(out, "  %s (default: %s)\n", settings_flag(row, name),
               row->preset[0] != '\0' ? row->preset : "empty");
    buf_printf(&text, "%s", row->help);
    if (row->kind == CHOICE || row->kind == SWITCH) {
        buf_printf(&text, ": %s", row->choices);
    }
    wrap(buf_span(&text), out);
    buf_free(&text);
}

static unsigned verbs_of(const char *verb)
{
    static const struct {
        const char *verb;
        unsigned bit;
    } verbs[] = {{"", SETTINGS_ALL},
                 {"node", SETTINGS_NODE},
                 {"sink", SETTINGS_SINK},
                 {"migrate", SETTINGS_MIGRATE},
                 {"check", SETTINGS_ALL}};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
        if (strcmp(verbs[i].verb, verb) == 0) {
            return verbs[i].bit;
        }
    }
    return 0;
}

bool settings_print_help(const char *verb, struct buf *out)
{
    unsigned wanted = verbs_of(verb);
    for (int i = 0; wanted != 0 && i < GROUPS; i++) {
        int end = i + 1 < GROUPS ? groups[i + 1].at : SETTINGS_ROWS;
        if ((groups[i].verbs & wanted) == 0) {
            continue;
        }
        buf_printf(out, "\n%s\n", groups[i].title);
        for (int at = groups[i].at; at < end; at++) {
            print_row(&settings_rows[at], out);
        }
    }
    return wanted != 0;
}

/* ------------------------------------------------------------------------------------ shells */

static const char *const kinds[] = {
    [TEXT] = "TEXT",         [BIND] = "BIND",     [BINDS] = "BINDS", [HOSTS] = "HOSTS",
    [ORIGINS] = "ORIGINS",   [SECRET] = "SECRET", [TOKEN] = "TOKEN", [STORE] = "STORE",
    [DURATION] = "DURATION", [AGE] = "AGE",       [SIZE] = "SIZE",   [COUNT] = "COUNT",
    [SWITCH] = "SWITCH",     [CHOICE] = "CHOICE",
};

/* Text for roff: no backslashes, no dot or quote at the start of a line. */
static void print_roff(const char *text, struct buf *out)
{
    if (*text == '.' || *text == '\'') {
        buf_append(out, SPAN("\\&"));
    }
    for (; *text != '\0'; text++) {
        buf_printf(out, *text == '\\' ? "\\e" : *text == '-' ? "\\-" : "%c", *text);
    }
}

void settings_print_man(struct buf *out)
{
    char name[SETTINGS_NAME];
    for (size_t i = 0; i < SETTINGS_ROWS; i++) {
        const struct settings_row *row = &settings_rows[i];
        buf_append(out, SPAN(".TP\n\\fB"));
        print_roff(settings_flag(row, name), out);
        buf_append(out, SPAN("\\fR \\fI"));
        print_roff(row->choices[0] != '\0' ? row->choices : kinds[row->kind], out);
        buf_append(out, SPAN("\\fR\n"));
        print_roff(row->help, out);
        buf_printf(out, ".\nVariable %s", settings_variable(row, name));
        if (row->preset[0] != '\0') {
            buf_append(out, SPAN(", default "));
            print_roff(row->preset, out);
        }
        buf_append(out, SPAN(".\n"));
    }
}

void settings_print_flags(struct buf *out)
{
    char flag[SETTINGS_NAME];
    for (size_t i = 0; i < SETTINGS_ROWS; i++) {
        buf_printf(out, "%s%s", i > 0 ? " " : "", settings_flag(&settings_rows[i], flag));
    }
}

static bool is_chosen(const struct settings_row *row)
{
    return strchr(row->choices, '|') != NULL;
}

static void print_choices(const struct settings_row *row, struct buf *out)
{
    for (const char *at = row->choices; *at != '\0'; at++) {
        buf_printf(out, "%c", *at == '|' ? ' ' : *at);
    }
}

void settings_print_bash(struct buf *out)
{
    char flag[SETTINGS_NAME];
    for (size_t i = 0; i < SETTINGS_ROWS; i++) {
        if (is_chosen(&settings_rows[i])) {
            buf_printf(out, "        *:%s) words='", settings_flag(&settings_rows[i], flag));
            print_choices(&settings_rows[i], out);
            buf_append(out, SPAN("' ;;\n"));
        }
    }
}

void settings_print_fish(struct buf *out)
{
    char name[SETTINGS_NAME];
    for (size_t i = 0; i < SETTINGS_ROWS; i++) {
        const struct settings_row *row = &settings_rows[i];
        buf_printf(out,
                   "complete -c muster -n '__fish_seen_subcommand_from node sink migrate check' "
                   "-r -l %s -d '",
                   settings_name(row, name));
        for (const char *at = row->help; *at != '\0'; at++) {
            buf_printf(out, *at == '\'' ? "'\\''" : "%c", *at);
        }
        buf_append(out, SPAN("'"));
        if (is_chosen(row)) {
            buf_append(out, SPAN(" -f -a '"));
            print_choices(row, out);
            buf_append(out, SPAN("'"));
        }
        buf_append(out, SPAN("\n"));
    }
}

void settings_print_markdown(struct buf *out)
{
    char flag[SETTINGS_NAME], variable[SETTINGS_NAME];
    buf_printf(out, "| flag | variable | default | |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < SETTINGS_ROWS; i++) {
        const struct settings_row *row = &settings_rows[i];
        bool chosen = row->kind == CHOICE || row->kind == SWITCH;
        buf_printf(out, "| `%s` | `%s`%s | %s%s%s | %s", settings_flag(row, flag),
                   settings_variable(row, variable), settings_is_secret(row) ? ", `..._FILE`" : "",
                   row->preset[0] != '\0' ? "`" : "none", row->preset,
                   row->preset[0] != '\0' ? "`" : "", row->help);
        struct span rest = span_str(chosen ? row->choices : "");
        for (const char *before = ": "; rest.len > 0; before = ", ") {
            struct span choice = span_cut(&rest, '|');
            buf_printf(out, "%s`%.*s`", before, SPAN_ARG(choice));
        }
        buf_printf(out, " |\n");
    }
}

void settings_print(const struct settings *settings, struct buf *out)
{
    char name[SETTINGS_NAME];
    for (size_t i = 0; i < SETTINGS_ROWS; i++) {
        const struct settings_row *row = &settings_rows[i];
        struct buf value = {0};
        settings_print_value(row, settings, &value);
        if (settings_is_secret(row)) {
            buf_printf(out, "# %s: a secret, %s\n", settings_name(row, name),
                       value.len == 0                               ? "not set"
                       : strcmp(buf_text(&value), row->preset) == 0 ? "the default"
                                                                    : "set");
        } else if (i == SETTINGS_AT_config) {
            buf_printf(out, "# config: %s\n", value.len > 0 ? buf_text(&value) : "none");
        } else {
            buf_printf(out, "%s =%s%.*s\n", settings_name(row, name), value.len > 0 ? " " : "",
                       SPAN_ARG(buf_span(&value)));
        }
        buf_free(&value);
    }
}

/* ------------------------------------------------------------------------------------ near words */

/* Levenshtein's distance of two words, which are cut at WORD_MOST bytes. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[WORD_MOST + 1];
    size_t a_len = strnlen(a, WORD_MOST), b_len = strnlen(b, WORD_MOST);
    for (unsigned j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; i <= a_len; i++) {
        unsigned corner = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b_len; j++) {
            unsigned swap = corner + (a[i - 1] != b[j - 1]), side = row[j - 1], above = row[j];
            unsigned add = (side < above ? side : above) + 1;
            corner = above;
            row[j] = swap < add ? swap : add;
        }
    }
    return row[b_len];
}

/* Words that are as far apart as they are long have nothing in common. */
static bool is_nearer(const char *word, const char *candidate, unsigned *best)
{
    unsigned apart = distance(word, candidate);
    bool nearer = apart < *best && apart <= DISTANCE_MOST && apart * 2 < strlen(word);
    *best = nearer ? apart : *best;
    return nearer;
}

const char *settings_nearest(const char *word, const char *const words[])
{
    const char *nearest = NULL;
    for (unsigned best = WORD_MOST; *words != NULL; words++) {
        nearest = is_nearer(word, *words, &best) ? *words : nearest;
    }
    return nearest;
}

const char *settings_nearest_row(const char *word, settings_form_fn *form,
                                 char out[static SETTINGS_NAME])
{
    char name[SETTINGS_NAME];
    const struct settings_row *nearest = NULL;
    unsigned best = WORD_MOST;
    for (size_t i = 0; i < SETTINGS_ROWS; i++) {
        nearest =
            is_nearer(word, form(&settings_rows[i], name), &best) ? &settings_rows[i] : nearest;
    }
    return nearest != NULL ? form(nearest, out) : NULL;
}
