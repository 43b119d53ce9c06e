/* SPDX-License-Identifier: MIT */
/* `muster check`: the node's own start without the serving, then what can only be asked: the store,
 * PostgreSQL, the keys of the login service. Each finding is a line, ok, warn or error. */
#include "node/app/check_impl.h"
#include "node/app/node.h"
#include "node/app/plan.h"
#include "node/app/process.h"
#include "node/core/loop.h"
#include "node/net/listener.h"
#include "node/net/udp.h"
#include "node/proto/http/fetch.h"
#include "node/proto/json/scan.h"
#include "node/proto/jwt/jwt.h"
#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/list_change.h"
#include "store/postgres/migrate.h"
#include "store/postgres/postgres.h"
#include "store/sink/sink.h"
#include "store/store.h"
#include "store/stream_read.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    PATIENCE_S = 5,
    NAMES_S = 15, /* where no server has answered: its name may still be looked up */
    ASK_MS = 50,
    CHECK_LEASE_MS = 10 * 1000,
    JWKS_MOST = 256 * 1024
};

static const char *const verdicts[] = {"ok", "warn", "error"};

/* ------------------------------------------------------------------------------------ findings */

void check_find(struct check *check, enum verdict verdict, const char *about, const char *format,
                ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == '\n' || *c == '\t' ? ' ' : *c; /* libpq's texts have lines */
    }
    check->unwell = check->unwell || verdict == VERDICT_ERROR;
    if (!check->json) {
        printf("%-5s %s: %s\n", verdicts[verdict], about, text);
        return;
    }
    buf_printf(&check->out, "%s{\"result\":\"%s\",\"about\":", check->out.len > 0 ? "," : "",
               verdicts[verdict]);
    json_quote(span_str(about), &check->out);
    buf_append(&check->out, SPAN(",\"text\":"));
    json_quote(span_str(text), &check->out);
    buf_append(&check->out, SPAN("}"));
}

static int finish(struct check *check)
{
    bool well = !check->faulty && !check->unwell;
    if (check->json) {
        printf("{\"well\":%s,\"findings\":[%s]}\n", well ? "true" : "false", buf_text(&check->out));
    } else {
        printf("%s\n", well ? "all is well" : "not well");
    }
    buf_free(&check->out);
    return check->faulty ? 2 : well ? 0 : 1;
}

/* ------------------------------------------------------------------------------------ the settings */

static void on_fault(void *arg, const char *where, const char *what)
{
    struct check *check = arg;
    check_find(check, VERDICT_ERROR, where, "%s", what);
    check->faulty = true;
}

/* What another process has, or only another user may have, is there for the node that is meant. */
static void on_bind(void *arg, const char *where, const char *bind, bool udp)
{
    struct check *check = arg;
    char error[256] = "";
    if ((udp ? udp_probe : listener_probe)(bind, error, sizeof(error)) == 0) {
        return;
    }
    bool taken = strstr(error, strerror(EADDRINUSE)) != NULL;
    bool guarded = strstr(error, strerror(EACCES)) != NULL;
    check_find(check, taken || guarded ? VERDICT_WARN : VERDICT_ERROR, where, "%s%s", error,
               taken     ? ": by a node that runs already, or another program"
               : guarded ? ": for this user"
                         : "");
}

static void check_settings(struct check *check)
{
    const struct settings *settings = check->settings;
    struct buf foreign = {0};
    plan_each_node_fault(settings, on_fault, check);
    if (settings->from[0] != '\0' || settings->mirror[0] != '\0') {
        plan_each_sink_fault(settings, on_fault, check);
    } else if (settings->postgres[0] != '\0') {
        plan_each_migrate_fault(settings, on_fault, check);
    }
    plan_each_bind(settings, on_bind, check);
    if (!check->faulty) {
        check_find(check, VERDICT_OK, "settings", "a node can start with them");
    }
    settings_print_foreign(settings->environment, &foreign);
    struct span rest = buf_span(&foreign);
    while (rest.len > 0) {
        struct span line = span_cut(&rest, '\n');
        check_find(check, VERDICT_WARN, "environment", "%.*s", SPAN_ARG(line));
    }
    buf_free(&foreign);
}

/* ------------------------------------------------------------------------------------ the store */

static void on_link(void *arg, bool up, const char *text)
{
    struct check *check = arg;
    if (!up) {
        snprintf(check->trouble, sizeof(check->trouble), "%s", text);
    } else if (strchr(text, ';') != NULL) {
        snprintf(check->note, sizeof(check->note), "%s", text);
    }
}

static void on_refusal(void *arg, const char *text)
{
    struct check *check = arg;
    snprintf(check->trouble, sizeof(check->trouble), "%s", text);
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
    bool silent = strstr(check->trouble, "no answer") != NULL;
    if (silent && clock_monotonic_ms() - check->begun_ms < NAMES_S * 1000) {
        timer_after(check->patience, PATIENCE_S * 1000);
        return;
    }
    loop_stop(check->loop);
}

/* Waits until the store has proved itself, or patience is over. */
static void reach(struct check *check)
{
    struct event *ask = event_new(loop_base(check->loop), -1, EV_PERSIST, on_ask, check);
    check->patience = event_new(loop_base(check->loop), -1, 0, on_patience_over, check);
    check->begun_ms = clock_monotonic_ms();
    timer_after(ask, ASK_MS);
    timer_after(check->patience, PATIENCE_S * 1000);
    loop_run(check->loop);
    event_free(ask);
    event_free(check->patience);
}

static void on_state(void *arg, const struct stream_state *state)
{
    struct check *check = arg;
    if (state != NULL) {
        const struct stream_head *head = &state->head;
        snprintf(check->stream, sizeof(check->stream), "%s", head->history.identity);
        snprintf(check->was, sizeof(check->was), "%.*s", SPAN_ARG(head->was));
    }
    loop_stop(check->loop);
}

/* Whose log stream it has. */
static void ask_stream(struct check *check)
{
    const struct stream_ask ask = {.count = 0};
    struct event *over = event_new(loop_base(check->loop), -1, 0, on_patience_over, check);
    timer_after(over, PATIENCE_S * 1000);
    if (stream_state(check->store, 0, &ask, on_state, check) == 0) {
        loop_run(check->loop);
    }
    event_free(over);
}

/* What the nodes that are there speak. */
static void check_wire(struct check *check)
{
    struct buf text = {0};
    store_print_wire(check->store, &text);
    if (text.len > 0) {
        check_find(check, VERDICT_OK, "wire", "%s", buf_text(&text));
    }
    buf_free(&text);
}

/* How far a list that changes is. */
static void check_change(struct check *check)
{
    struct buf text = {0};
    store_print_change(check->store, &text);
    if (text.len > 0) {
        check_find(check, VERDICT_OK, "store", "%s", buf_text(&text));
    }
    buf_free(&text);
}

static void check_store(struct check *check)
{
    const struct settings *settings = check->settings;
    char error[256];
    check->store = store_open(
        &(struct store_options){
            .base = loop_base(check->loop),
            .url = settings->store,
            .tls = process_store_tls(settings),
            .prefix = settings->store_prefix,
            .node = "check",
            .lease_ms = CHECK_LEASE_MS,
            .visitor = true,
            .replicas = settings->store_replicas,
            .observer = {.link = on_link, .trouble = on_refusal, .arg = check},
        },
        error, sizeof(error));
    if (check->store == NULL) {
        return; /* for what was said of the settings */
    }
    reach(check);
    if (!check->reached) {
        check_find(check, VERDICT_ERROR, "store", "%s", check->trouble);
    } else {
        check_find(check, VERDICT_OK, "store", "reached, and messages come back");
        ask_stream(check);
        check_change(check);
        check_wire(check);
        check_redis(check);
    }
    if (check->note[0] != '\0') {
        check_find(check, VERDICT_WARN, "store", "%s", check->note);
    }
    if (strcmp(settings->store, "memory:") == 0 && settings->env == ENV_PRODUCTION) {
        check_find(check, VERDICT_WARN, "store",
                   "is memory:, which one node has for itself and loses when it ends");
    }
    store_close(&check->store);
}

/* ------------------------------------------------------------------------------------ PostgreSQL */

static void check_stream(struct check *check)
{
    const struct settings *settings = check->settings;
    char error[512];
    int foreign = check->stream[0] == '\0'
                      ? 0
                      : sink_is_foreign(settings->postgres, settings->store_prefix, check->stream,
                                        check->was, error, sizeof(error));
    if (foreign > 0) {
        check_find(check, VERDICT_ERROR, "postgres",
                   "it stores the stream of another fleet under the name %s: give each fleet a "
                   "--store-prefix or a database of its own",
                   settings->store_prefix);
    } else if (foreign < 0) {
        check_find(check, VERDICT_ERROR, "postgres", "%s", error);
    }
}

static void check_postgres(struct check *check)
{
    char error[512];
    const char *uri = check->settings->postgres;
    if (uri[0] == '\0' || postgres_check_uri(uri, error, sizeof(error)) != 0) {
        return; /* none, or it was said of the settings */
    }
    int missing = migrate_check(uri, error, sizeof(error));
    if (missing < 0) {
        check_find(check, VERDICT_ERROR, "postgres", "%s", error);
    } else if (missing > 0) {
        check_find(check, VERDICT_ERROR, "postgres",
                   "reached; %d migrations are missing: run muster migrate", missing);
    } else {
        check_find(check, VERDICT_OK, "postgres", "reached, and its schema is up to date");
    }
    if (missing >= 0) {
        check_postgres_server(check);
    }
    check_stream(check);
}

/* ------------------------------------------------------------------------------------ login keys */

static void on_jwks(void *arg, int status, struct span body, const char *text)
{
    struct check *check = arg;
    struct jwt_keys *keys = jwt_keys_new();
    char error[128];
    if (status != 200) {
        check_find(check, VERDICT_ERROR, "chat-jwks", "%s: status %d%s%s",
                   check->settings->chat_jwks, status, text != NULL ? ", " : "",
                   text != NULL ? text : "");
    } else if (jwt_keys_set_jwks(keys, body, error, sizeof(error)) != 0) {
        check_find(check, VERDICT_ERROR, "chat-jwks", "%s: %s", check->settings->chat_jwks, error);
    } else {
        check_find(check, VERDICT_OK, "chat-jwks", "%zu keys", jwt_keys_count(keys));
    }
    jwt_keys_free(&keys);
    loop_stop(check->loop);
}

static void check_jwks(struct check *check)
{
    const struct settings *settings = check->settings;
    if (strncmp(settings->chat_jwks, "http://", 7) != 0 &&
        strncmp(settings->chat_jwks, "https://", 8) != 0) {
        return;
    }
    struct fetcher *fetcher = fetch_pool_new(
        &(struct fetcher_options){.base = loop_base(check->loop), .parallel = 1, .waiting = 1});
    const struct fetch_request request = {.url = settings->chat_jwks,
                                          .limit_ms = settings->chat_account_timeout,
                                          .body_limit = JWKS_MOST};
    struct fetch *fetch = fetch_start(fetcher, &request, on_jwks, check);
    if (fetch != NULL) {
        loop_run(check->loop);
    }
    fetch_pool_free(&fetcher);
}

int check_run(const struct settings *settings, bool json)
{
    struct check check = {
        .settings = settings, .json = json, .loop = loop_new(), .trouble = "no answer"};
    check_settings(&check);
    check_store(&check);
    check_postgres(&check);
    check_jwks(&check);
    loop_free(&check.loop);
    return finish(&check);
}
