/* SPDX-License-Identifier: MIT */
/* muster help VERB: how a verb is called. muster help --man and --completion SHELL print the manual page and
 * the completions, made from the table of settings, so that they cannot fall behind. */
#include "node/app/terminal.h"
#include "node/core/settings.h"
#include "store/base/buf.h"

#include <stdio.h>
#include <string.h>

static const struct verb_line {
    const char *name, *help;
    bool of_terminal;
} verb_lines[] = {
    {"node", "serve", false},
    {"sink", "move log entries from the stream into PostgreSQL", false},
    {"migrate", "bring the PostgreSQL database to this version's schema", false},
    {"check", "validate the settings, reach store and PostgreSQL, say what is wrong", false},
    {"status",
     "the fleet in text; ends with 0 when all is well, 1 with problems, 2 when no node answers",
     true},
    {"tail", "log lines as they come, from any node", true},
    {"token", "a JSON Web Token for development", true},
    {"version", "this binary's version, commit and libraries", true},
    {"help", "this, of one verb", true},
};
enum { VERB_LINES = sizeof(verb_lines) / sizeof(*verb_lines) };

/* The flags of the verbs for the terminal, for completion. */
static const struct verb_flags {
    const char *verb, *flags;
} verb_flags[] = {
    {"status", "http token watch json help"},
    {"tail", "http token room level grep since postgres json help"},
    {"token", "user for secret key audience issuer nickname help"},
    {"version", "help"},
    {"help", "man completion help"},
};
enum { VERB_FLAGS = sizeof(verb_flags) / sizeof(*verb_flags) };

/* ------------------------------------------------------------------------------------ the manual */

static void print_settings(void (*print)(struct buf *out))
{
    struct buf text = {0};
    print(&text);
    printf("%s", buf_text(&text));
    buf_free(&text);
}

static void print_man(void)
{
    printf(".TH MUSTER 1 \"\" \"muster %s\" \"User Commands\"\n.SH NAME\nmuster \\- a fleet of "
           "stateless nodes "
           "that hold sockets\n.SH SYNOPSIS\n.B muster\n.I verb\n[\\-\\-\\fIsetting value\\fR "
           "...]\n.SH VERBS\n",
           MUSTER_VERSION);
    for (size_t i = 0; i < VERB_LINES; i++) {
        printf(".TP\n.B %s\n%s.\n", verb_lines[i].name, verb_lines[i].help);
    }
    printf(".PP\nThe flags of status, tail, token: muster help \\fIverb\\fR.\n.SH SETTINGS\nOf "
           "node, sink, migrate and "
           "check. Each is a flag or a variable; flags win. Secrets may be in files: "
           "MUSTER_STORE_FILE. "
           "Durations: 250ms, 10s, 5m, 24h. Sizes: 512, 64k, 1m.\n");
    print_settings(settings_print_man);
    printf(".SH EXIT STATUS\n0 when all went well; 1 when it failed (status: with problems); 2 "
           "when it was called "
           "wrongly (status: no node answers).\n.SH SIGNALS\nSIGTERM and SIGINT: leave in order; a "
           "second one: at "
           "once.\n");
}

/* ------------------------------------------------------------------------------------ completions */

static void print_verb_names(void)
{
    for (size_t i = 0; i < VERB_LINES; i++) {
        printf("%s%s", i > 0 ? " " : "", verb_lines[i].name);
    }
}

static void print_bash(void)
{
    printf("_muster() {\n    local word=${COMP_WORDS[COMP_CWORD]} "
           "before=${COMP_WORDS[COMP_CWORD-1]} words=\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words='");
    print_verb_names();
    printf("'\n    else\n        case ${COMP_WORDS[1]}:$before in\n");
    print_settings(settings_print_bash);
    for (size_t i = 0; i < VERB_FLAGS; i++) {
        printf("        %s:*) words='", verb_flags[i].verb);
        if (strcmp(verb_flags[i].verb, "help") == 0) {
            print_verb_names();
            putchar(' ');
        }
        for (const char *at = verb_flags[i].flags; *at != '\0'; at++) {
            printf(at == verb_flags[i].flags || at[-1] == ' ' ? "--%c" : "%c", *at);
        }
        printf("' ;;\n");
    }
    printf("        *) words='");
    print_settings(settings_print_flags);
    printf(
        "' ;;\n        esac\n    fi\n    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
        "\"$word\")\n"
        "    [ ${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n}\n"
        "complete -F _muster muster\n");
}

/* A help text within single quotes. */
static void print_quoted(const char *text)
{
    putchar('\'');
    for (; *text != '\0'; text++) {
        printf(*text == '\'' ? "'\\''" : "%c", *text);
    }
    putchar('\'');
}

static void print_fish(void)
{
    for (size_t i = 0; i < VERB_LINES; i++) {
        printf("complete -c muster -n __fish_use_subcommand -f -a %s -d ", verb_lines[i].name);
        print_quoted(verb_lines[i].help);
        printf("\n");
    }
    print_settings(settings_print_fish);
    for (size_t i = 0; i < VERB_FLAGS; i++) {
        const char *at = verb_flags[i].flags;
        while (*at != '\0') {
            size_t len = strcspn(at, " ");
            printf("complete -c muster -n '__fish_seen_subcommand_from %s' -l %.*s\n",
                   verb_flags[i].verb, (int)len, at);
            at += len + (at[len] == ' ');
        }
    }
}

/* zsh understands bash's completions. */
static void print_zsh(void)
{
    printf("#compdef muster\nautoload -U +X bashcompinit && bashcompinit\n");
    print_bash();
}

static int print_completion(const char *shell)
{
    if (strcmp(shell, "bash") == 0) {
        print_bash();
    } else if (strcmp(shell, "zsh") == 0) {
        print_zsh();
    } else if (strcmp(shell, "fish") == 0) {
        print_fish();
    } else {
        fprintf(stderr, "muster help: --completion: '%s' is none of bash, zsh, fish\n", shell);
        return 2;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ the verb */

static int help_of(const char *verb)
{
    for (size_t i = 0; i < VERB_LINES; i++) {
        if (strcmp(verb, verb_lines[i].name) != 0) {
            continue;
        }
        printf("muster %s: %s\n", verb, verb_lines[i].help);
        if (verb_lines[i].of_terminal) {
            return terminal_help(verb) ? 0 : 2;
        }
        printf("usage: muster %s [--setting VALUE ...]\n\nAll settings, as flags and variables: "
               "muster --help\n",
               verb);
        return 0;
    }
    fprintf(stderr, "muster: '%s' is no verb; see muster --help\n", verb);
    return 2;
}

int verb_help(char *const args[])
{
    const char *shell = "";
    bool man = false;
    const struct terminal_flag flags[] = {
        {"man", TERMINAL_SWITCH, &man, NULL, "the manual page, for man -l -", NULL},
        {"completion", TERMINAL_TEXT, &shell, "SHELL", "completions for bash, zsh or fish", NULL},
        {NULL, TERMINAL_TEXT, NULL, NULL, NULL, NULL}};
    int status;
    if (args[0] != NULL && args[0][0] != '-') {
        return help_of(args[0]);
    }
    if (!terminal_flags("help", args, flags, &status)) {
        return status;
    }
    if (man) {
        print_man();
        return 0;
    }
    if (shell[0] != '\0') {
        return print_completion(shell);
    }
    printf("usage: muster VERB ...\n\n");
    for (size_t i = 0; i < VERB_LINES; i++) {
        printf("  %-8s %s\n", verb_lines[i].name, verb_lines[i].help);
    }
    printf("\nmuster help VERB: its flags. muster --help: all settings.\n");
    return 0;
}
