#include "node/app/chat_wiring.h"
#include "node/app/node.h"
#include "node/app/process.h"
#include "node/core/loop.h"
#include "store/postgres/migrate.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

enum { PATIENCE_S = 5, ASK_MS = 50, CHECK_LEASE_MS = 10 * 1000 };

struct check {
    struct loop *loop;
    struct store *store;
    bool reached;
    char trouble[256]; /* the last thing the store said */
    char note[256];    /* what it said of a server that was reached; empty: nothing */
};

static void on_link(void *arg, bool up, const char *text)
{
    struct check *check = arg;
    if (!up) {
        snprintf(check->trouble, sizeof(check->trouble), "%s", text);
    } else if (strchr(text, ';') != NULL) {
        snprintf(check->note, sizeof(check->note), "%s", text);
    }
}

static void on_ask(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct check *check = arg;
    check->reached = store_ready(check->store);
    if (check->reached) {
        loop_stop(check->loop);
    }
}

static void on_patience_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct check *check = arg;
    loop_stop(check->loop);
}

/* Waits until the store has proved itself, or patience is over. */
static void reach(struct check *check)
{
    struct timeval every = {.tv_usec = ASK_MS * 1000}, patience = {.tv_sec = PATIENCE_S};
    struct event *ask = event_new(loop_base(check->loop), -1, EV_PERSIST, on_ask, check);
    struct event *over = event_new(loop_base(check->loop), -1, 0, on_patience_over, check);
    event_add(ask, &every);
    event_add(over, &patience);
    loop_run(check->loop);
    event_free(ask);
    event_free(over);
}

static bool check_store(const struct settings *settings)
{
    struct check check = {.loop = loop_new(), .trouble = "no answer"};
    char error[256];
    check.store = store_open(
        &(struct store_options){
            .base = loop_base(check.loop),
            .url = settings->store,
            .tls = process_store_tls(settings),
            .prefix = settings->store_prefix,
            .node = "check",
            .lease_ms = CHECK_LEASE_MS,
            .observer = {.link = on_link, .arg = &check},
        },
        error, sizeof(error));
    if (check.store == NULL) {
        printf("store: %s\n", error);
    } else {
        reach(&check);
        printf("store: %s\n", check.reached ? "reached, and messages come back" : check.trouble);
        if (check.note[0] != '\0') {
            printf("store: note: %s\n", check.note);
        }
    }
    store_close(&check.store);
    loop_free(&check.loop);
    return check.reached;
}

static bool check_postgres(const char *uri)
{
    char error[512];
    if (uri[0] == '\0') {
        return true;
    }
    int missing = migrate_check(uri, error, sizeof(error));
    if (missing < 0) {
        printf("postgres: %s\n", error);
    } else if (missing > 0) {
        printf("postgres: reached; %d migrations are missing: run muster migrate\n", missing);
    } else {
        printf("postgres: reached, and its schema is up to date\n");
    }
    return missing == 0;
}

static bool check_chat(const struct settings *settings)
{
    char error[256];
    bool well = chat_wiring_check(settings, error, sizeof(error)) == 0;
    if (!well) {
        printf("chat login: %s\n", error);
    }
    return well;
}

int check_run(const struct settings *settings)
{
    /* The settings were read: what can be known of them without asking anybody is right. */
    bool well = check_chat(settings) & check_store(settings) & check_postgres(settings->postgres);
    printf("%s\n", well ? "all is well" : "not well");
    return well ? 0 : 1;
}
