#include "node/app/node.h"
#include "node/app/process.h"
#include "node/app/terminal.h"
#include "node/app/workers.h"
#include "node/core/log.h"
#include "node/core/log_out.h"
#include "node/core/memory.h"
#include "node/net/address.h"
#include "store/store.h"

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
    "  status, tail, token, version, help: for a person at a terminal; see muster help VERB\n"
    "\n"
    "  --help                this text\n"
    "  --help-markdown       the settings as a Markdown table\n"
    "  --version             the version\n"
    "\n"
    "Every setting is a flag, or a variable: --store-prefix is "
    "MUSTER_STORE_PREFIX; flags win. Secrets, the\n"
    "store's URL too, may be in files: MUSTER_STORE_FILE. Durations: 250ms, "
    "10s, 5m, 24h. Sizes: 512, 64k, 1m.\n"
    "\n"
    "settings:\n";

static void print_help(FILE *out)
{
    struct buf settings = {0};
    settings_print_help(&settings);
    fprintf(out, "%s%s", usage, buf_text(&settings));
    buf_free(&settings);
}

static void print_markdown(void)
{
    struct buf settings = {0};
    settings_print_markdown(&settings);
    printf("%s", buf_text(&settings));
    buf_free(&settings);
}

/* Answers --help and its like, wherever they stand. */
static bool answered(char *const args[])
{
    for (; *args != NULL; args++) {
        if (strcmp(*args, "--help") == 0 || strcmp(*args, "-h") == 0) {
            print_help(stdout);
            return true;
        }
        if (strcmp(*args, "--help-markdown") == 0) {
            print_markdown();
            return true;
        }
        if (strcmp(*args, "--version") == 0) {
            printf("muster %s\n", MUSTER_VERSION);
            return true;
        }
    }
    return false;
}

static int run_node(const struct settings *settings)
{
    const struct name_worker none = {.number = -1};
    return workers_wanted(settings) > 1 ? workers_run(settings, node_run)
                                        : node_run(settings, &none);
}

static int run(const char *verb, const struct settings *settings)
{
    char error[256];
    log_setup((enum log_level)settings->log_level, (enum log_format)settings->log_format);
    bool node = strcmp(verb, "node") == 0, check = strcmp(verb, "check") == 0;
    if ((node || check) && workers_check(settings, error, sizeof(error)) != 0) {
        fprintf(stderr, "muster: %s\n", error);
        return 2;
    }
    if (node) {
        return run_node(settings);
    }
    if (strcmp(verb, "sink") == 0) {
        return sink_verb(settings);
    }
    if (strcmp(verb, "migrate") == 0) {
        return migrate_verb(settings);
    }
    if (check) {
        return check_run(settings);
    }
    fprintf(stderr, "muster: '%s' is no verb; see muster --help\n", verb);
    return 2;
}

static int check_bind(const char *text, char *error, size_t error_size)
{
    struct address address;
    int family;
    if (address_parse_bind(text, &address, &family) != 0) {
        snprintf(error, error_size, "'%s' is no host:port with a numeric host", text);
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
    memory_guard_libraries();
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    int status = 2;
    if (terminal_run(argv, &status)) {
        return status;
    }
    if (answered(argv + 1)) {
        return 0;
    }
    if (settings_read(&settings, (const char *const *)argv + 2, (const char *const *)environ,
                      &checks, error, sizeof(error)) != 0) {
        fprintf(stderr, "muster: %s\n", error);
    } else {
        status = run(argv[1], &settings);
        log_out_detach(LOG_LINGER_MS);
    }
    settings_deinit(&settings);
    return status;
}
