/* SPDX-License-Identifier: MIT */
#include "node/service/logs/logs.h"

#include "node/net/limit.h"
#include "node/proto/http/auth.h"
#include "node/proto/ws/admit.h"
#include "node/service/logs/coding.h"
#include "node/service/logs/depth.h"
#include "node/service/logs/intake.h"
#include "node/service/logs/live.h"
#include "node/service/logs/own.h"
#include "node/service/logs/page.h"
#include "node/service/logs/protobuf.h"
#include "node/service/logs/stored.h"
#include "node/service/logs/syslog.h"
#include "store/base/clock.h"
#include "store/base/list.h"

#include <stdlib.h>

enum {
    BACKLOG_MOST = 10000,
    BURST_SECONDS = 2,
    READ_HERE_MOST = 4 * 1024, /* bytes of a body that is read in the loop */
};

struct logs {
    struct logs_options options;
    struct logs_live *live;
    struct logs_own *own;
    struct logs_depth *depth;
    struct logs_syslog *syslog;
    struct logs_stored *stored;
    struct limit_table *rate;
    struct list adding;
};

/* Whose words a request is answered in. */
enum door { DOOR_ADD, DOOR_LOKI, DOOR_OTLP, DOOR_GELF };

/* A request whose body is read. */
struct body_reading {
    struct pool_job job;
    struct logs *logs;
    struct http_request *request;
    enum door door;
    struct logs_body body;
    struct logs_batch batch;
    enum logs_verdict verdict;
    char error[160];
};

/* A request whose entries are on their way into the stream. */
struct adding {
    struct list entry;
    struct logs *logs;
    struct http_request *request;
    enum door door;
    bool protobuf; /* the answer, too */
    struct logs_batch batch;
};

/* ------------------------------------------------------------------------------------ adding */

static void refuse(struct logs *logs, struct http_request *request, size_t count, const char *why)
{
    metrics_add(logs->options.metrics, METRIC_LOGS_REFUSED, count);
    http_reply_field(request, "Retry-After", SPAN("2"));
    http_reply_error(request, 503, "%s", why);
}

/* OTLP/HTTP: an ExportLogsServiceResponse, "Partial Success" of its specification. */
static void print_partial(const struct adding *adding, struct buf *out)
{
    char why[64];
    snprintf(why, sizeof(why), "more than %zu bytes", adding->logs->options.entry_limit);
    if (adding->protobuf) {
        logs_protobuf_response(adding->batch.refused, span_str(why), out);
    } else if (adding->batch.refused == 0) {
        buf_append(out, SPAN("{}"));
    } else {
        buf_printf(out,
                   "{\"partialSuccess\":{\"rejectedLogRecords\":\"%zu\",\"errorMessage\":\"%s\"}}",
                   adding->batch.refused, why);
    }
}

/* Stored, but for what was too large: where a protocol has words for that it is told in them. */
static void reply_stored(const struct adding *adding)
{
    struct buf text = {0};
    int status = adding->door == DOOR_LOKI ? 204 : adding->door == DOOR_GELF ? 202 : 200;
    if (adding->door == DOOR_OTLP) {
        print_partial(adding, &text);
    } else if (adding->batch.refused > 0) {
        status = 200;
        buf_printf(&text, "{\"stored\":%zu,\"refused\":%zu,\"reasons\":[", adding->batch.count,
                   adding->batch.refused);
        buf_append(&text, buf_span(&adding->batch.reasons));
        buf_append(&text, SPAN("]}"));
    }
    const char *type = adding->door == DOOR_OTLP && adding->protobuf ? "application/x-protobuf"
                       : text.len > 0                                ? "application/json"
                                                                     : NULL;
    http_reply(adding->request, status, type, buf_span(&text));
    buf_free(&text);
}

static void adding_free(struct adding *adding)
{
    list_del(&adding->entry);
    logs_batch_free(&adding->batch);
    free(adding);
}

static const char *why_not(enum stream_outcome outcome, bool some)
{
    switch (outcome) {
    case STREAM_FULL:
        return some ? "the log stream is full" : "the log stream is full: nothing was stored";
    case STREAM_ALONE:
        return "too few replicas of the store had it in time: it may be stored, or not";
    case STREAM_UNKNOWN:
        return "the store did not answer in time";
    case STREAM_STORED:
    case STREAM_REFUSED:
        break;
    }
    return some ? "the store took not all" : "the store took nothing";
}

/* Some servers have stored their part of it, others not: which entries are to be sent again. */
static void reply_partly(const struct adding *adding, const struct stream_result *result)
{
    struct logs *logs = adding->logs;
    struct buf elements = {0}, text = {0};
    size_t stored = logs_batch_count(&adding->batch, result->stored);
    size_t others = adding->batch.count - stored;
    logs_batch_print_others(&adding->batch, result->stored, &elements);
    buf_printf(&text,
               "{\"error\": \"%s\", \"stored\": %zu, \"refused\": %zu, \"elements\": [%s]}\n",
               why_not(result->outcome, true), stored, others, buf_text(&elements));
    metrics_add(logs->options.metrics, METRIC_LOGS_ADDED, stored);
    metrics_add(logs->options.metrics, METRIC_LOGS_REFUSED, others);
    http_reply_field(adding->request, "Retry-After", SPAN("2"));
    http_reply(adding->request, 503, "application/json", buf_span(&text));
    buf_free(&elements);
    buf_free(&text);
}

static void on_appended(void *arg, const struct stream_result *result)
{
    struct adding *adding = arg;
    struct logs *logs = adding->logs;
    if (result->outcome == STREAM_STORED) {
        metrics_add(logs->options.metrics, METRIC_LOGS_ADDED, adding->batch.count);
        reply_stored(adding);
    } else if (result->stored != 0) {
        reply_partly(adding, result);
    } else {
        refuse(logs, adding->request, adding->batch.count, why_not(result->outcome, false));
    }
    adding_free(adding);
}

static void append(struct logs *logs, struct http_request *request, struct logs_batch *batch,
                   enum door door)
{
    struct adding *adding = mem_zalloc(sizeof(*adding));
    adding->logs = logs;
    adding->request = request;
    adding->door = door;
    adding->protobuf = logs_is_protobuf(http_header(request, "content-type"));
    adding->batch = *batch;
    *batch = (struct logs_batch){0};
    list_push_back(&logs->adding, &adding->entry);
    if (stream_append_chunk(logs->options.store, adding->batch.items, adding->batch.count,
                            on_appended, adding) != 0) {
        refuse(logs, request, adding->batch.count,
               "the store cannot be reached: nothing was stored");
        adding_free(adding);
    }
}

static void reply_bad(struct logs *logs, struct http_request *request, enum door door,
                      enum logs_verdict verdict, const char *error)
{
    int status = verdict == LOGS_BAD ? 400 : verdict == LOGS_TOO_LARGE ? 413 : 415;
    metrics_add(logs->options.metrics,
                verdict == LOGS_TOO_LARGE ? METRIC_LOGS_TOO_LARGE : METRIC_LOGS_MALFORMED, 1);
    if (status == 415) {
        http_reply_field(request, "Accept-Encoding", SPAN(LOGS_CODINGS));
    }
    if (door == DOOR_OTLP && logs_is_protobuf(http_header(request, "content-type"))) {
        struct buf text = {0};
        logs_protobuf_status(span_str(error), &text);
        http_reply(request, status, "application/x-protobuf", buf_span(&text));
        buf_free(&text);
        return;
    }
    http_reply_error(request, status, "%s", error);
}

/* The body was read: its entries are taken, or the sender hears why not. */
static void take_batch(const struct body_reading *reading, struct logs_batch *batch)
{
    struct logs *logs = reading->logs;
    struct http_request *request = reading->request;
    if (reading->verdict != LOGS_GOOD) {
        reply_bad(logs, request, reading->door, reading->verdict, reading->error);
    } else if (!limit_table_take(logs->rate, http_peer(request), (uint32_t)batch->count,
                                 clock_monotonic_us())) {
        metrics_add(logs->options.metrics, METRIC_LOGS_TOO_FAST, batch->count);
        http_reply_field(request, "Retry-After", SPAN("1"));
        http_reply_error(request, 429, "too many entries from this address");
    } else if (batch->count == 0) {
        const struct adding nothing = {.logs = logs,
                                       .request = request,
                                       .door = reading->door,
                                       .protobuf = logs_is_protobuf(reading->body.type)};
        reply_stored(&nothing);
    } else {
        metrics_add(logs->options.metrics, METRIC_LOGS_TOO_LARGE, batch->refused);
        append(logs, request, batch, reading->door);
    }
}

static void reading_free(struct body_reading *reading)
{
    logs_batch_free(&reading->batch);
    free(reading);
}

/* In the loop, or in a thread of the pool: the request is ours until it is replied to. */
static void read_body(struct pool_job *job)
{
    struct body_reading *reading = CONTAINER_OF(job, struct body_reading, job);
    reading->verdict =
        logs_intake_read(&reading->batch, &reading->body, reading->error, sizeof(reading->error));
}

static void on_read(struct pool_job *job, bool worked)
{
    struct body_reading *reading = CONTAINER_OF(job, struct body_reading, job);
    if (worked) {
        take_batch(reading, &reading->batch);
    } else {
        http_reply_error(reading->request, 503, "the node is going away");
    }
    reading_free(reading);
}

static struct body_reading *reading_new(struct logs *logs, struct http_request *request,
                                        enum door door)
{
    struct body_reading *reading = mem_zalloc(sizeof(*reading));
    reading->job = (struct pool_job){.work = read_body, .done = on_read};
    reading->logs = logs;
    reading->request = request;
    reading->door = door;
    reading->batch = (struct logs_batch){.entry_limit = logs->options.entry_limit,
                                         .lanes = logs->options.lanes,
                                         .keys = logs->options.keys};
    reading->body = (struct logs_body){.type = http_header(request, "content-type"),
                                       .coding = http_header(request, "content-encoding"),
                                       .bytes = http_body(request),
                                       .limit = logs->options.body_limit,
                                       .binary = door == DOOR_OTLP   ? LOGS_SHAPE_OTLP
                                                 : door == DOOR_LOKI ? LOGS_SHAPE_LOKI
                                                                     : LOGS_SHAPE_ENTRY};
    return reading;
}

/* What is short, when plain, is read at once. */
static void take(struct logs *logs, struct http_request *request, enum door door)
{
    if (!http_authorize(request, HTTP_AUTH_IF_SET, logs->options.add_token, NULL)) {
        return;
    }
    struct body_reading *reading = reading_new(logs, request, door);
    if (reading->body.coding.ptr == NULL && reading->body.bytes.len <= READ_HERE_MOST) {
        read_body(&reading->job);
        on_read(&reading->job, true);
    } else if (pool_do(logs->options.pool, &reading->job) != 0) {
        refuse(logs, request, 0, "too many requests at once: nothing was stored");
        reading_free(reading);
    }
}

static void on_add(void *arg, struct http_request *request)
{
    take(arg, request, DOOR_ADD);
}

static void on_loki(void *arg, struct http_request *request)
{
    take(arg, request, DOOR_LOKI);
}

static void on_otlp(void *arg, struct http_request *request)
{
    take(arg, request, DOOR_OTLP);
}

static void on_gelf(void *arg, struct http_request *request)
{
    take(arg, request, DOOR_GELF);
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

static void listen_at(struct logs *logs, struct http_request *request, bool own)
{
    struct buf room = {0}, backlog = {0}, beats = {0};
    if (!ws_admits(request, logs->options.listen_token)) {
        return;
    }
    if (!http_query(request, "roomId", &room) || logs_is_no_room(buf_span(&room))) {
        http_query(request, "room", &room);
    }
    http_query(request, "backlog", &backlog);
    const struct logs_wish wish = {
        .room = logs_is_no_room(buf_span(&room)) ? SPAN("") : buf_span(&room),
        .backlog = read_count(buf_text(&backlog)),
        .own = own,
        .beats = http_query(request, "beats", &beats),
    };
    logs_live_join(logs->live, request, &wish);
    buf_free(&room);
    buf_free(&backlog);
    buf_free(&beats);
}

/* A client that shows a token may hear the nodes' own lines. */
static bool shows_own(const struct logs *logs)
{
    return logs->options.listen_token[0] != '\0' || logs->options.own_for_all;
}

static void on_listen(void *arg, struct http_request *request)
{
    listen_at(arg, request, shows_own(arg));
}

static void on_listen_at_admin(void *arg, struct http_request *request)
{
    listen_at(arg, request, true);
}

static void read_at(struct logs *logs, struct http_request *request, bool own)
{
    if (http_authorize(request, HTTP_AUTH_IF_SET, logs->options.listen_token, NULL)) {
        logs_stored_answer(logs->stored, request, own);
    }
}

static void on_stored(void *arg, struct http_request *request)
{
    read_at(arg, request, shows_own(arg));
}

static void on_stored_at_admin(void *arg, struct http_request *request)
{
    read_at(arg, request, true);
}

static void on_page(void *arg, struct http_request *request)
{
    (void)arg;
    http_reply_page(request, span_of(page_logs, page_logs_size));
}

/* ------------------------------------------------------------------------------------ life */

static void route(struct logs *logs, struct http_server *server)
{
    struct http_server *admin = logs->options.admin;
    http_route(server, "POST", "/logs/add", on_add, logs);
    http_route(server, "POST", "/loki/api/v1/push", on_loki, logs);
    http_route(server, "POST", "/v1/logs", on_otlp, logs);
    http_route(server, "POST", "/gelf", on_gelf, logs);
    http_guard(server, "/logs/add", HTTP_ORIGIN_LISTED);
    http_guard(server, "/loki/api/v1/push", HTTP_ORIGIN_LISTED);
    http_guard(server, "/v1/logs", HTTP_ORIGIN_LISTED);
    http_guard(server, "/gelf", HTTP_ORIGIN_LISTED);
    http_route_websocket(server, "/logs/listen", on_listen, logs);
    http_route(server, "GET", "/logs/stored", on_stored, logs);
    http_guard(server, "/logs/stored", HTTP_ORIGIN_OWN);
    http_route(server, "GET", "/logs.html", on_page, logs);
    if (admin != NULL) {
        http_route_websocket(admin, "/logs/listen", on_listen_at_admin, logs);
        http_route(admin, "GET", "/logs/stored", on_stored_at_admin, logs);
        http_route(admin, "GET", "/logs.html", on_page, logs);
    }
}

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
    logs->syslog =
        logs_syslog_new(&(struct logs_syslog_options){.net = options->net,
                                                      .store = options->store,
                                                      .metrics = options->metrics,
                                                      .rate = logs->rate,
                                                      .listen = options->syslog,
                                                      .lanes = options->lanes,
                                                      .entry_limit = options->entry_limit,
                                                      .keys = options->keys});
    logs->stored =
        logs_stored_new(&(struct logs_stored_options){.base = loop_base(net_loop(options->net)),
                                                      .uri = options->postgres,
                                                      .metrics = options->metrics,
                                                      .node = options->node});
    route(logs, server);
    return logs;
}

int logs_listen(struct logs *logs, char *error, size_t error_size)
{
    return logs_syslog_listen(logs->syslog, error, error_size);
}

void logs_drain(struct logs *logs)
{
    logs_syslog_retire(logs->syslog);
}

void logs_stop(struct logs *logs)
{
    logs_syslog_stop(logs->syslog);
}

void logs_free(struct logs **logs)
{
    if (*logs == NULL) {
        return;
    }
    struct logs *gone = *logs;
    *logs = NULL;
    logs_stored_free(&gone->stored);
    logs_syslog_free(&gone->syslog);
    logs_depth_free(&gone->depth);
    logs_own_free(&gone->own);
    logs_live_free(&gone->live);
    while (!list_empty(&gone->adding)) {
        struct adding *adding = LIST_ITEM(gone->adding.next, struct adding, entry);
        http_reply_error(adding->request, 503, "the node is going away");
        adding_free(adding);
    }
    limit_table_free(&gone->rate);
    free(gone);
}
