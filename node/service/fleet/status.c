#include "node/service/fleet/status.h"

#include "node/core/metrics_process.h"
#include "node/net/memory_watch.h"
#include "node/service/fleet/page.h"
#include "store/base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct status {
    struct status_options options;
    uint64_t started_ms; /* monotonic */
    bool held;           /* the ports for clients are not open yet */
    bool draining;
    struct memory_watch *memory;
};

const char *fleet_status_trouble(const struct status *status)
{
    bool full;
    net_connections(status->options.net, &full);
    if (status->draining) {
        return "draining";
    }
    if (!store_ready(status->options.store)) {
        return "the store cannot be reached";
    }
    if (status->held) {
        return "starting";
    }
    if (memory_watch_is_short(status->memory)) {
        return "the memory limit is reached";
    }
    return full ? "the connection limit is reached" : NULL;
}

/* The loop turns, or nobody would answer. Redis being gone is no reason to restart a node. */
static void on_healthz(void *arg, struct http_request *request)
{
    (void)arg;
    http_reply(request, 200, "text/plain; charset=utf-8", SPAN("ok\n"));
}

static void on_readyz(void *arg, struct http_request *request)
{
    const char *reason = fleet_status_trouble(arg);
    if (reason != NULL) {
        http_reply_error(request, 503, "%s", reason);
    } else {
        http_reply(request, 200, "text/plain; charset=utf-8", SPAN("ready\n"));
    }
}

/* ------------------------------------------------------------------------------------ metrics */

static void on_metrics(void *arg, struct http_request *request)
{
    struct status *status = arg;
    struct buf text = {0};
    metrics_process_refresh(status->options.metrics, status->options.store);
    metrics_print(status->options.metrics, &text);
    http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_span(&text));
    buf_free(&text);
}

/* ------------------------------------------------------------------------------------ the page */

static void print_uptime(uint64_t ms, struct buf *out)
{
    uint64_t s = ms / 1000;
    buf_printf(out, "%" PRIu64 "d %02u:%02u:%02u", s / 86400, (unsigned)(s / 3600 % 24),
               (unsigned)(s / 60 % 60), (unsigned)(s % 60));
}

static void print_row(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%-16s %s\n", name, value);
}

static void print_count(struct buf *out, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, value);
    print_row(out, name, text);
}

/* For curl: this node, in lines. */
static void print_text(const struct status *status, struct buf *out)
{
    const uint64_t *value = status->options.metrics->value;
    const char *reason = fleet_status_trouble(status);
    struct buf uptime = {0};
    print_uptime(clock_monotonic_ms() - status->started_ms, &uptime);
    print_row(out, "state", reason != NULL ? reason : "well");
    print_row(out, "node", status->options.node);
    print_row(out, "uptime", buf_text(&uptime));
    print_count(out, "active sessions", value[METRIC_SYNC_SESSIONS]);
    print_count(out, "active sockets", value[METRIC_SYNC_SOCKETS]);
    print_count(out, "bytes pushed", value[METRIC_SYNC_PUSHED_BYTES]);
    buf_free(&uptime);
}

static void on_text(void *arg, struct http_request *request)
{
    struct buf text = {0};
    print_text(arg, &text);
    http_reply_field(request, "Cache-Control", SPAN("no-cache"));
    http_reply(request, 200, "text/plain; charset=utf-8", buf_span(&text));
    buf_free(&text);
}

static void on_page(void *arg, struct http_request *request)
{
    struct span accept = http_header(request, "accept");
    http_reply_field(request, "Vary", SPAN("Accept"));
    if (accept.ptr != NULL && memmem(accept.ptr, accept.len, "text/html", 9) != NULL) {
        http_reply_field(request, "Cache-Control", SPAN("no-cache"));
        http_reply_field(request, "Content-Security-Policy",
                         SPAN("default-src 'none'; script-src 'unsafe-inline'; style-src "
                              "'unsafe-inline'; connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; "
                              "form-action 'none'"));
        http_reply(request, 200, "text/html; charset=utf-8", span_of(page_fleet, page_fleet_size));
    } else {
        on_text(arg, request);
    }
}

static void on_docs(void *arg, struct http_request *request)
{
    (void)arg;
    http_reply(request, 200, "text/plain; charset=utf-8", span_of(page_operate, page_operate_size));
}

/* ------------------------------------------------------------------------------------ life */

struct status *fleet_status_new(struct http_server *server, const struct status_options *options)
{
    struct status *status = mem_zalloc(sizeof(*status));
    status->options = *options;
    status->started_ms = clock_monotonic_ms();
    status->memory = memory_watch_new(options->net, options->memory_limit);
    metrics_set(options->metrics, METRIC_START_TIME, clock_unix_ms() / 1000);
    metrics_set(options->metrics, METRIC_BUILD_NODE, 1);
    http_route(server, "GET", "/", on_page, status);
    http_route(server, "GET", "/docs/operate", on_docs, status);
    http_route(server, "GET", "/healthz", on_healthz, status);
    http_route(server, "GET", "/readyz", on_readyz, status);
    http_route(server, "GET", "/metrics", on_metrics, status);
    return status;
}

void fleet_status_free(struct status **status)
{
    if (*status != NULL) {
        memory_watch_free(&(*status)->memory);
        free(*status);
        *status = NULL;
    }
}

void fleet_status_route_text(struct status *status, struct http_server *server)
{
    http_route(server, "GET", "/", on_text, status);
}

void fleet_status_hold(struct status *status, bool held)
{
    status->held = held;
}

void fleet_status_drain(struct status *status)
{
    status->draining = true;
}
