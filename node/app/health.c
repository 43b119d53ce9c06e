/* SPDX-License-Identifier: MIT */
#include "node/app/health.h"

#include "node/core/metrics_process.h"
#include "node/net/memory_watch.h"
#include "store/base/clock.h"
#include "store/base/mem.h"
#include "store/inspect.h"
#include "store/list_change.h"

#include <stdlib.h>

static const char plain[] = "text/plain; charset=utf-8";

struct health {
    struct health_options options;
    bool held; /* the ports for clients are not open yet */
    bool draining;
    struct memory_watch *memory;
};

const char *health_trouble(struct health *health)
{
    const struct app *app = health->options.app;
    bool full = false;
    net_connections(app->net, &full);
    if (health->draining) {
        return "draining";
    }
    if (app->store != NULL && !store_works(app->store)) {
        const char *refusal = store_refusal(app->store);
        return refusal != NULL ? refusal : "the store cannot be reached";
    }
    if (health->held) {
        return "starting";
    }
    if (memory_watch_is_short(health->memory)) {
        return "the memory limit is reached";
    }
    if (full) {
        return "the connection limit is reached";
    }
    return health->options.trouble != NULL ? health->options.trouble(health->options.arg) : NULL;
}

static void on_healthz(void *arg, struct http_request *request)
{
    (void)arg;
    http_reply(request, 200, plain, SPAN("ok\n"));
}

/* Which servers of the store are away; nothing where they do not let this node in, which is said
 * already. */
static void print_away(const struct store *store, struct buf *out)
{
    if (store != NULL && store_refusal(store) == NULL) {
        store_print_away(store, out);
    }
}

static void on_readyz(void *arg, struct http_request *request)
{
    struct health *health = arg;
    const char *reason = health_trouble(health);
    struct buf away = {0}, change = {0}, text = {0};
    print_away(health->options.app->store, &away);
    if (reason != NULL) {
        http_reply_error(request, 503, "%s%s%s", reason, away.len > 0 ? "; " : "", buf_text(&away));
    } else {
        if (health->options.app->store != NULL) {
            store_print_change(health->options.app->store, &change);
        }
        buf_printf(&text, "ready\n%s%s%s%s", buf_text(&away), away.len > 0 ? "\n" : "",
                   buf_text(&change), change.len > 0 ? "\n" : "");
        http_reply(request, 200, plain, buf_span(&text));
    }
    buf_free(&away);
    buf_free(&change);
    buf_free(&text);
}

static void print_server(void *arg, const struct store_place *place)
{
    buf_printf(arg, "muster_store_server_up{server=\"%s\"} %d\n", place->name, place->well);
}

/* One sample for each server of the list: the table of metrics has none whose labels are settings. */
static void print_servers(const struct store *store, struct buf *out)
{
    buf_append(out, SPAN("# HELP muster_store_server_up 1 while this server of the store serves "
                         "its partitions\n# TYPE muster_store_server_up gauge\n"));
    store_each_server(store, print_server, out);
}

static void on_metrics(void *arg, struct http_request *request)
{
    struct health *health = arg;
    struct app *app = health->options.app;
    struct buf text = {0};
    if (health->options.refresh != NULL) {
        health->options.refresh(health->options.arg);
    }
    metrics_process_refresh(&app->metrics, app->store);
    metrics_print(&app->metrics, &text);
    if (app->store != NULL) {
        print_servers(app->store, &text);
    }
    http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_span(&text));
    buf_free(&text);
}

struct health *health_new(const struct health_options *options)
{
    struct health *health = mem_zalloc(sizeof(*health));
    struct app *app = options->app;
    health->options = *options;
    size_t limit = app->settings->memory_limit;
    health->memory = memory_watch_new(app->net, limit == SIZE_MAX ? -1 : (int64_t)limit);
    metrics_set(&app->metrics, METRIC_START_TIME, clock_unix_ms() / 1000);
    http_route(app->admin, "GET", "/healthz", on_healthz, health);
    http_route(app->admin, "GET", "/readyz", on_readyz, health);
    http_route(app->admin, "GET", "/metrics", on_metrics, health);
    http_guard(app->admin, "/metrics", HTTP_ORIGIN_OWN);
    http_guard(app->admin, "/healthz", HTTP_ORIGIN_PROBE);
    http_guard(app->admin, "/readyz", HTTP_ORIGIN_PROBE);
    return health;
}

void health_free(struct health **health)
{
    if (*health != NULL) {
        memory_watch_free(&(*health)->memory);
        free(*health);
        *health = NULL;
    }
}

void health_hold(struct health *health, bool held)
{
    health->held = held;
}

void health_drain(struct health *health)
{
    health->draining = true;
}
