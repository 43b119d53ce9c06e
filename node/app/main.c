/* SPDX-License-Identifier: MIT */
#include "node/app/handover.h"
#include "node/app/node.h"
#include "node/app/plan.h"
#include "node/app/process.h"
#include "node/app/terminal.h"
#include "node/app/workers.h"
#include "node/core/log.h"
#include "node/core/log_out.h"
#include "node/core/memory.h"
#include "node/net/address.h"
#include "store/store.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: muster VERB [--setting VALUE ...]\n"
    "\n"
    "verbs:\n"
    "  node     serve\n"
    "  sink     move log entries from the stream into PostgreSQL\n"
    "  migrate  bring the PostgreSQL database to this version's schema\n"
    "  check    validate the settings, reach store and PostgreSQL, say what is wrong\n"
    "  status, tail, token, version, help: for a person at a terminal; see muster\n"
    "           help VERB\n"
    "\n"
    "  --help [VERB]      this text, with the settings of that verb\n"
    "  --help-markdown    the settings as a Markdown table\n"
    "  --print-config     what is in force, as a file for --config; secrets hidden\n"
    "  --json             with check: its findings as one JSON object\n"
    "  --version          the version\n"
    "\n"
    "Every setting is a flag, a variable, or a line in the file of --config:\n"
    "--store-prefix x, MUSTER_STORE_PREFIX=x, store-prefix = x. Flags count most,\n"
    "then variables. A secret, the store's URL too, may be in a file of its own:\n"
    "MUSTER_STORE_FILE, store-file. Durations: 250ms, 10s, 5m, 24h. Sizes: 512,\n"
    "64k, 1m.\n";

static const char *const verbs[] = {"node", "sink", "migrate", "check", NULL};

static bool is_verb(const char *word)
{
    for (const char *const *verb = verbs; *verb != NULL; verb++) {
        if (strcmp(*verb, word) == 0) {
            return true;
        }
    }
    return false;
}

static void print_and_free(FILE *out, struct buf *text)
{
    fprintf(out, "%s", buf_text(text));
    buf_free(text);
}

static void print_help(FILE *out, const char *verb)
{
    struct buf settings = {0};
    settings_print_help(verb, &settings);
    fprintf(out, "%s", usage);
    print_and_free(out, &settings);
}

/* Answers --help and its like, wherever they stand. */
static bool answered(char *const args[])
{
    const char *verb = is_verb(args[0]) ? args[0] : "";
    for (; *args != NULL; args++) {
        if (strcmp(*args, "--help") == 0 || strcmp(*args, "-h") == 0) {
            print_help(stdout, args[1] != NULL && is_verb(args[1]) ? args[1] : verb);
            return true;
        }
        if (strcmp(*args, "--help-markdown") == 0) {
            struct buf settings = {0};
            settings_print_markdown(&settings);
            print_and_free(stdout, &settings);
            return true;
        }
        if (strcmp(*args, "--version") == 0) {
            printf("muster %s\n", MUSTER_VERSION);
            return true;
        }
    }
    return false;
}

/* Takes the word out of `args`; was it there? */
static bool take_word(char *args[], const char *word)
{
    bool asked = false;
    char **to = args;
    for (; *args != NULL; args++) {
        bool is = strcmp(*args, word) == 0;
        asked = asked || is;
        if (!is) {
            *to++ = *args;
        }
    }
    *to = NULL;
    return asked;
}

static int run_node(struct settings *settings)
{
    const struct name_worker none = {.number = -1};
    if (workers_wanted(settings) > 1) {
        return workers_run(settings, node_run);
    }
    handover_choose(0);
    return node_run(settings, &none);
}

typedef void each_fault_fn(const struct settings *settings, plan_fault_fn *fault, void *arg);

static void on_fault(void *arg, const char *where, const char *what)
{
    unsigned *faults = arg;
    fprintf(stderr, "muster: %s: %s\n", where, what);
    ++*faults;
}

/* Says all that is wrong. */
static bool are_well(const struct settings *settings, each_fault_fn *each_fault)
{
    unsigned faults = 0;
    each_fault(settings, on_fault, &faults);
    return faults == 0;
}

static int run(const char *verb, struct settings *settings, bool json)
{
    log_setup(settings->log_level, settings->log_format);
    bool stays = strcmp(verb, "node") == 0 || strcmp(verb, "sink") == 0;
    if (stays) {
        signal(SIGHUP, SIG_IGN); /* until the loop takes it */
    }
    if (strcmp(verb, "node") == 0) {
        return are_well(settings, plan_each_node_fault) ? run_node(settings) : 2;
    }
    if (strcmp(verb, "sink") == 0) {
        if (!are_well(settings, plan_each_sink_fault)) {
            return 2;
        }
        handover_choose(0);
        return sink_verb(settings);
    }
    if (strcmp(verb, "migrate") == 0) {
        return are_well(settings, plan_each_migrate_fault) ? migrate_verb(settings) : 2;
    }
    return check_run(settings, json);
}

static int check_bind(const char *text, char *error, size_t error_size)
{
    struct address address;
    int family;
    if (address_parse_bind(text, &address, &family) != 0) {
        snprintf(error, error_size, "'%s' is no host:port whose host is known here", text);
        return -1;
    }
    return 0;
}

int main(int argc, char *argv[])
{
    const struct settings_checks checks = {.bind = check_bind, .store = store_check_url};
    struct settings settings;
    char error[512];
    process_prepare();
    handover_begin(argv);
    memory_guard_libraries();
    memory_join_at_once();
    if (argc < 2) {
        print_help(stderr, "");
        return 2;
    }
    int status = 2;
    if (terminal_run(argv, &status)) {
        return status;
    }
    if (answered(argv + 1)) {
        return 0;
    }
    bool print = take_word(argv + 1, "--print-config");
    bool verb = argv[1] != NULL && is_verb(argv[1]);
    bool json = verb && strcmp(argv[1], "check") == 0 && take_word(argv + 1, "--json");
    if (!verb && !(print && (argv[1] == NULL || argv[1][0] == '-'))) {
        const char *near = settings_nearest(argv[1] != NULL ? argv[1] : "", verbs);
        fprintf(stderr, "muster: '%s' is no verb; %s%s%s\n", argv[1] != NULL ? argv[1] : "",
                near != NULL ? "did you mean " : "see muster --help", near != NULL ? near : "",
                near != NULL ? "?" : "");
        return 2;
    }
    if (settings_read(&settings, (const char *const *)argv + 1 + verb, (const char *const *)environ,
                      &checks, error, sizeof(error)) != 0) {
        fprintf(stderr, "muster: %s\n", error);
    } else if (print) {
        struct buf text = {0};
        settings_print(&settings, &text);
        print_and_free(stdout, &text);
        status = 0;
    } else {
        status = run(argv[1], &settings, json);
        log_out_detach(LOG_LINGER_MS);
    }
    settings_deinit(&settings);
    return status;
}
