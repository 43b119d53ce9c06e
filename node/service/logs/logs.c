/* SPDX-License-Identifier: MIT */
#include "node/service/logs/logs.h"

#include "node/net/limit.h"
#include "node/proto/http/auth.h"
#include "node/proto/ws/admit.h"
#include "node/service/logs/depth.h"
#include "node/service/logs/entry.h"
#include "node/service/logs/live.h"
#include "node/service/logs/own.h"
#include "node/service/logs/page.h"
#include "store/base/clock.h"
#include "store/base/list.h"

#include <stdlib.h>

enum { BACKLOG_MOST = 10000, BURST_SECONDS = 2 };

struct logs {
    struct logs_options options;
    struct logs_live *live;
    struct logs_own *own;
    struct logs_depth *depth;
    struct limit_table *rate;
    struct list adding;
};

/* One /logs/add whose entries are on their way into the stream. */
struct adding {
    struct list entry;
    struct logs *logs;
    struct http_request *request;
    size_t count;
};

/* ------------------------------------------------------------------------------------ adding */

static void refuse(struct logs *logs, struct http_request *request, size_t count, const char *why)
{
    metrics_add(logs->options.metrics, METRIC_LOGS_REFUSED, count);
    http_reply_field(request, "Retry-After", SPAN("2"));
    http_reply_error(request, 503, "%s", why);
}

static void on_appended(void *arg, enum stream_outcome outcome)
{
    struct adding *adding = arg;
    struct logs *logs = adding->logs;
    list_del(&adding->entry);
    switch (outcome) {
    case STREAM_STORED:
        metrics_add(logs->options.metrics, METRIC_LOGS_ADDED, adding->count);
        http_reply(adding->request, 200, NULL, SPAN(""));
        break;
    case STREAM_FULL:
        refuse(logs, adding->request, adding->count, "the log stream is full: nothing was stored");
        break;
    case STREAM_REFUSED:
        refuse(logs, adding->request, adding->count, "the store took nothing");
        break;
    case STREAM_UNKNOWN:
        refuse(logs, adding->request, adding->count, "the store did not answer in time");
        break;
    }
    free(adding);
}

static void append(struct logs *logs, struct http_request *request, const struct logs_batch *batch)
{
    struct adding *adding = mem_zalloc(sizeof(*adding));
    adding->logs = logs;
    adding->request = request;
    adding->count = batch->count;
    list_push_back(&logs->adding, &adding->entry);
    if (stream_append(logs->options.store, batch->items, batch->count, on_appended, adding) != 0) {
        list_del(&adding->entry);
        free(adding);
        refuse(logs, request, batch->count, "the store cannot be reached: nothing was stored");
    }
}

static void on_add(void *arg, struct http_request *request)
{
    struct logs *logs = arg;
    struct logs_batch batch = {0};
    char error[128];
    if (!http_authorize(request, HTTP_AUTH_IF_SET, logs->options.add_token, NULL)) {
        return;
    }
    enum logs_verdict verdict =
        logs_batch_read(&batch, http_body(request), logs->options.entry_limit, logs->options.lanes,
                        error, sizeof(error));
    if (verdict != LOGS_GOOD) {
        http_reply_error(request, verdict == LOGS_BAD ? 400 : 413, "%s", error);
    } else if (!limit_table_take(logs->rate, http_peer(request), (uint32_t)batch.count,
                                 clock_monotonic_us())) {
        http_reply_field(request, "Retry-After", SPAN("1"));
        http_reply_error(request, 429, "too many entries from this address");
    } else if (batch.count == 0) {
        http_reply(request, 200, NULL, SPAN(""));
    } else {
        append(logs, request, &batch);
    }
    logs_batch_free(&batch);
}

/* ------------------------------------------------------------------------------------ listening */

static size_t read_count(const char *text)
{
    char *end;
    unsigned long count = strtoul(text, &end, 10);
    return text[0] < '0' || text[0] > '9' || *end != '\0' ? 0
           : count < BACKLOG_MOST                         ? count
                                                          : BACKLOG_MOST;
}

static void on_listen(void *arg, struct http_request *request)
{
    struct logs *logs = arg;
    struct buf room = {0}, backlog = {0};
    if (!ws_admits(request, logs->options.listen_token)) {
        return;
    }
    if (!http_query(request, "roomId", &room) || logs_is_no_room(buf_span(&room))) {
        http_query(request, "room", &room);
    }
    http_query(request, "backlog", &backlog);
    struct span name = logs_is_no_room(buf_span(&room)) ? SPAN("") : buf_span(&room);
    logs_live_join(logs->live, request, name, read_count(buf_text(&backlog)));
    buf_free(&room);
    buf_free(&backlog);
}

static void on_page(void *arg, struct http_request *request)
{
    (void)arg;
    http_reply_field(request, "Cache-Control", SPAN("no-cache"));
    http_reply_field(request, "Content-Security-Policy",
                     SPAN("default-src 'none'; script-src 'unsafe-inline'; style-src "
                          "'unsafe-inline'; connect-src 'self' ws: wss:; img-src data:; worker-src blob:; base-uri "
                          "'none'; form-action 'none'"));
    http_reply(request, 200, "text/html; charset=utf-8", span_of(page_logs, page_logs_size));
}

/* ------------------------------------------------------------------------------------ life */

struct logs *logs_new(struct http_server *server, const struct logs_options *options)
{
    struct logs *logs = mem_zalloc(sizeof(*logs));
    logs->options = *options;
    list_init(&logs->adding);
    logs->rate = limit_table_new(options->rate, options->rate * BURST_SECONDS);
    stream_setup(options->store, &(struct stream_limits){.lanes = options->lanes,
                                                         .entries = options->bound,
                                                         .refuse = options->refuse});
    logs->live = logs_live_new(&(struct logs_live_options){.net = options->net,
                                                           .store = options->store,
                                                           .metrics = options->metrics,
                                                           .lanes = options->lanes,
                                                           .queue_limit = options->queue_limit});
    logs->own = logs_own_new(&(struct logs_own_options){.loop = net_loop(options->net),
                                                        .store = options->store,
                                                        .metrics = options->metrics,
                                                        .node = options->node,
                                                        .lanes = options->lanes});
    logs->depth = logs_depth_new(net_wheel(options->net), options->store, options->metrics);
    http_route(server, "POST", "/logs/add", on_add, logs);
    http_route_websocket(server, "/logs/listen", on_listen, logs);
    http_route(server, "GET", "/logs.html", on_page, logs);
    return logs;
}

void logs_free(struct logs **logs)
{
    if (*logs == NULL) {
        return;
    }
    struct logs *gone = *logs;
    *logs = NULL;
    logs_depth_free(&gone->depth);
    logs_own_free(&gone->own);
    logs_live_free(&gone->live);
    while (!list_empty(&gone->adding)) {
        struct adding *adding = LIST_ITEM(gone->adding.next, struct adding, entry);
        list_del(&adding->entry);
        http_reply_error(adding->request, 503, "the node is going away");
        free(adding);
    }
    limit_table_free(&gone->rate);
    free(gone);
}
