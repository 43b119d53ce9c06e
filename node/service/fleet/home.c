/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/home.h"

#include "node/service/fleet/docs.h"
#include "node/service/fleet/page.h"
#include "store/base/clock.h"
#include "store/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct fleet_home {
    struct fleet_home_options options;
    uint64_t started_ms; /* monotonic */
};

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

static void on_text(void *arg, struct http_request *request)
{
    struct buf text = {0};
    /* For curl: this node, in lines. */
    const struct fleet_home *home = arg;
    const uint64_t *value = home->options.metrics->value;
    metrics_count(home->options.metrics);
    const char *reason = home->options.trouble(home->options.trouble_arg);
    struct buf uptime = {0};
    uint64_t s = (clock_monotonic_ms() - home->started_ms) / 1000;
    buf_printf(&uptime, "%" PRIu64 "d %02u:%02u:%02u", s / 86400, (unsigned)(s / 3600 % 24),
               (unsigned)(s / 60 % 60), (unsigned)(s % 60));
    print_row(&text, "state", reason != NULL ? reason : "well");
    print_row(&text, "node", home->options.node);
    print_row(&text, "uptime", buf_text(&uptime));
    print_count(&text, "active sessions", value[METRIC_SYNC_SESSIONS]);
    print_count(&text, "active sockets", value[METRIC_SYNC_SOCKETS]);
    print_count(&text, "bytes pushed", value[METRIC_SYNC_PUSHED_BYTES]);
    buf_free(&uptime);
    http_reply_field(request, "Cache-Control", SPAN("no-cache"));
    http_reply(request, 200, "text/plain; charset=utf-8", buf_span(&text));
    buf_free(&text);
}

static void on_page(void *arg, struct http_request *request)
{
    if (fleet_docs_wants_html(request)) {
        http_reply_page(request, span_of(page_fleet, page_fleet_size));
    } else {
        on_text(arg, request);
    }
}

struct fleet_home *fleet_home_new(struct http_server *server,
                                  const struct fleet_home_options *options)
{
    struct fleet_home *home = mem_zalloc(sizeof(*home));
    home->options = *options;
    home->started_ms = clock_monotonic_ms();
    metrics_set(options->metrics, METRIC_BUILD_NODE, 1);
    http_route(server, "GET", "/", on_page, home);
    fleet_docs_route(server);
    return home;
}

void fleet_home_free(struct fleet_home **home)
{
    free(*home);
    *home = NULL;
}

void fleet_home_route_text(struct fleet_home *home, struct http_server *server)
{
    http_route(server, "GET", "/", on_text, home);
}
