/* SPDX-License-Identifier: MIT */
/* The wiring of `muster sink`: the store (or another server's live stream) above, PostgreSQL below,
 * and a small HTTP server for monitoring.
 *
 *     SIGTERM -> not ready -> what is read is stored, the lanes are let go -> exit 0 */
#include "store/sink/sink.h"
#include "store/base/clock.h"

#include "node/app/app.h"
#include "node/app/health.h"
#include "node/app/node.h"
#include "node/app/notify.h"
#include "node/app/process.h"
#include "node/app/reload.h"
#include "node/core/log.h"
#include "node/core/log_out.h"
#include "node/core/loop.h"
#include "node/core/name.h"
#include "node/net/listener.h"
#include "node/proto/http/http.h"
#include "node/proto/json/scan.h"
#include "node/service/fleet/fleet.h"
#include "node/service/logs/dump.h"
#include "node/service/logs/mirror.h"
#include "node/service/logs/row.h"
#include "store/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    STOP_MS = 10 * 1000,
    DAY_MS = 86400 * 1000,
    SERVER_WORD_MOST = 100, /* bytes of a server's name and the like */
    COMPLAINT_MOST = 300,
};

struct process {
    struct app app;
    char stream[NAME_SIZE + 5];
    struct health *health;
    struct listener *listener;
    struct sink *sink;
    struct fleet *fleet;        /* NULL with --from */
    struct logs_dump *dump;     /* with --from */
    struct logs_mirror *mirror; /* with --mirror */
    struct process_signals signals;
    struct reload *reload;
    bool stopping;
    struct buf complaint;  /* the last one about PostgreSQL, and when it was */
    uint64_t complaint_ms; /* unix */
};

/* ------------------------------------------------------------------------------------ reports */

static void on_say(void *arg, bool bad, const char *what, const char *text)
{
    struct process *process = arg;
    if (bad) {
        process->complaint.len = 0;
        buf_printf(&process->complaint, "%s: %.*s", what, (int)strcspn(text, "\n"), text);
        process->complaint_ms = clock_unix_ms();
        log_warn("sink", LOG_TEXT_FIELD("about", what), LOG_TEXT_FIELD("detail", text));
    } else {
        log_info("sink", LOG_TEXT_FIELD("about", what), LOG_TEXT_FIELD("detail", text));
    }
}

/* What health cannot know of a sink. */
static const char *unready(void *arg)
{
    const struct process *process = arg;
    if (process->dump != NULL && !logs_dump_is_open(process->dump)) {
        return "the server to listen at cannot be reached";
    }
    return sink_unready(process->sink);
}

static void refresh(void *arg)
{
    struct process *process = arg;
    struct metrics *metrics = &process->app.metrics;
    const struct sink_stats *stats = sink_stats(process->sink);
    metrics_set(metrics, METRIC_SINK_ROWS, stats->rows);
    metrics_set(metrics, METRIC_SINK_BYTES, stats->bytes);
    metrics_set(metrics, METRIC_SINK_BATCHES, stats->batches);
    metrics_set(metrics, METRIC_SINK_REJECTED, stats->rejected);
    metrics_set(metrics, METRIC_SINK_ERRORS, stats->errors);
    metrics_set(metrics, METRIC_SINK_LOST, stats->lost);
    metrics_set(metrics, METRIC_SINK_MISSED, stats->missed);
    metrics_set(metrics, METRIC_SINK_REPEATED, stats->repeated);
    metrics_set(metrics, METRIC_SINK_LANES, stats->lanes);
    metrics_set(metrics, METRIC_SINK_LAG, stats->lag);
    metrics_set(metrics, METRIC_SINK_LAG_MS, stats->lag_ms);
    metrics_set(metrics, METRIC_SINK_DUE, stats->due);
    metrics_set(metrics, METRIC_SINK_POSTGRES_UP, stats->postgres_up);
}

/* What this sink tells the fleet of its PostgreSQL; no user and no password. */
static void print_postgres(void *arg, struct buf *out)
{
    const struct process *process = arg;
    struct postgres_server server;
    buf_append(out, SPAN(",\"postgres\":{\"up\":"));
    if (sink_server(process->sink, &server)) {
        struct buf at = {0};
        buf_printf(&at, "%s:%s/%s", server.host, server.port, server.database);
        buf_append(out, SPAN("true,\"at\":"));
        json_quote_cut(buf_span(&at), SERVER_WORD_MOST, out);
        buf_append(out, SPAN(",\"version\":"));
        json_quote_cut(span_str(server.version), SERVER_WORD_MOST, out);
        buf_printf(out, ",\"role\":\"%s\"", server.standby ? "standby" : "primary");
        buf_free(&at);
    } else {
        buf_append(out, SPAN("false"));
    }
    if (process->complaint_ms != 0) {
        buf_append(out, SPAN(",\"error\":"));
        json_quote_cut(buf_span(&process->complaint), COMPLAINT_MOST, out);
        buf_printf(out, ",\"error_at\":%" PRIu64, process->complaint_ms);
    }
    buf_append(out, SPAN("}"));
}

/* Asked each time before figures are shown to the fleet. */
static const char *trouble(void *arg)
{
    struct process *process = arg;
    refresh(process);
    return health_trouble(process->health);
}

/* ------------------------------------------------------------------------------------ the end */

static void on_stopped(void *arg)
{
    struct process *process = arg;
    loop_stop(process->app.loop);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct process *process = arg;
    (void)what;
    if (process->stopping) {
        log_warn("second signal, ending now", LOG_NUMBER_FIELD("signal", number));
        loop_stop(process->app.loop);
        return;
    }
    log_info("stopping");
    notify_stopping(STOP_MS);
    process->stopping = true;
    if (process->fleet != NULL) {
        fleet_leave(process->fleet);
    }
    health_drain(process->health);
    logs_dump_free(&process->dump);
    logs_mirror_free(&process->mirror);
    sink_stop(process->sink, STOP_MS, on_stopped, process);
}

/* ------------------------------------------------------------------------------ building up */

static int open_store(struct process *process, char *error, size_t error_size)
{
    const struct settings *settings = process->app.settings;
    if (strcmp(settings->store, "memory:") == 0) {
        snprintf(error, error_size,
                 "--store is memory:, which no other process can reach; give the nodes' Redis, or "
                 "--from ws://host/logs/listen");
        return -1;
    }
    process->app.store =
        process_open_store(settings, loop_base(process->app.loop), process->app.node,
                           &process->app.metrics, error, error_size);
    return process->app.store != NULL ? 0 : -1;
}

static int serve_http(struct process *process, char *error, size_t error_size)
{
    struct app *app = &process->app;
    const struct settings *settings = app->settings;
    const char *bind = settings->admin[0] != '\0' ? settings->admin : settings->http;
    if (process_trusted(settings, &app->trusted, error, error_size) != 0) {
        return -1;
    }
    const struct net_limits limits = {
        .queue = settings->queue_limit, .connections = 1000, .trusted = &app->trusted};
    app->net = net_new(app->loop, app->wheel, &app->metrics, &limits);
    app->http = app->admin = process_http(settings, app->net, &app->trusted, true);
    metrics_set(&app->metrics, METRIC_BUILD_SINK, 1);
    process->health = health_new(&(struct health_options){
        .app = app, .trouble = unready, .refresh = refresh, .arg = process});
    process->listener =
        listener_open(app->net, bind, http_server_accept, app->http, error, error_size);
    return process->listener != NULL ? 0 : -1;
}

static void make_sink(struct process *process)
{
    const struct settings *settings = process->app.settings;
    const char *prefix = settings->store_prefix;
    snprintf(process->stream, sizeof(process->stream), "from %s", process->app.node);
    process->sink = sink_new(&(struct sink_options){
        .base = loop_base(process->app.loop),
        .store = process->app.store,
        .uri = settings->postgres,
        .stream = process->app.store != NULL ? prefix : process->stream,
        .lanes = settings->logs_lanes,
        .rows = settings->sink_rows,
        .bytes = settings->sink_bytes,
        .parallel = settings->sink_parallel,
        .age_ms = settings->sink_age,
        .keep = settings->sink_keep_entries,
        .keep_ms = settings->sink_keep,
        .retention_days = (unsigned)((settings->sink_retention + DAY_MS - 1) / DAY_MS),
        .search = settings->sink_search,
        .codec = {.table = LOGS_TABLE, .row = logs_row},
        .say = on_say,
        .arg = process,
    });
}

/* The sink has its place on the fleet's page, like a node. */
static void join_fleet(struct process *process)
{
    if (process->app.store != NULL) {
        process->fleet =
            fleet_new(process->app.http, &(struct fleet_options){
                                             .loop = process->app.loop,
                                             .store = process->app.store,
                                             .metrics = &process->app.metrics,
                                             .node = process->app.node,
                                             .kind = "sink",
                                             .zone = process->app.settings->zone,
                                             .http = process->app.settings->http,
                                             .token = process->app.settings->status_token,
                                             .trouble = trouble,
                                             .trouble_arg = process,
                                             .more = print_postgres,
                                             .more_arg = process,
                                         });
    }
}

static bool on_entry(void *arg, const struct sink_item *item)
{
    return sink_feed(arg, item);
}

static bool has_room(void *arg)
{
    return sink_has_room(arg);
}

static int open_dump(struct process *process, char *error, size_t error_size)
{
    process->dump = logs_dump_new(
        &(struct logs_dump_options){
            .base = loop_base(process->app.loop),
            .url = process->app.settings->from,
            .ca = process->app.settings->from_ca,
            .token = process->app.settings->logs_listen_token,
            .entry = on_entry,
            .room = has_room,
            .arg = process->sink,
        },
        error, error_size);
    return process->dump != NULL ? 0 : -1;
}

/* Beside its own work: what another server's listeners hear goes into the stream here. */
static int open_mirror(struct process *process, char *error, size_t error_size)
{
    const struct settings *settings = process->app.settings;
    stream_setup(process->app.store, &(struct stream_limits){.lanes = settings->logs_lanes,
                                                             .entries = settings->logs_bound,
                                                             .refuse = true});
    process->mirror = logs_mirror_new(
        &(struct logs_mirror_options){
            .base = loop_base(process->app.loop),
            .store = process->app.store,
            .url = settings->mirror,
            .ca = settings->from_ca,
            .token = settings->mirror_token,
            .room_keys = settings->logs_room_keys,
            .user_keys = settings->logs_user_keys,
            .lanes = settings->logs_lanes,
            .entry_limit = settings->logs_entry_limit,
        },
        error, error_size);
    return process->mirror != NULL ? 0 : -1;
}

static int build(struct process *process, char *error, size_t error_size)
{
    name_choose("sink", process->app.node);
    process->app.loop = loop_new();
    log_out_attach(loop_base(process->app.loop));
    process->app.wheel = wheel_new(process->app.loop);
    if (process->app.settings->postgres[0] == '\0') {
        snprintf(error, error_size, "--postgres is not set");
        return -1;
    }
    bool from = process->app.settings->from[0] != '\0';
    if (!from && open_store(process, error, error_size) != 0) {
        return -1;
    }
    make_sink(process);
    if (from && open_dump(process, error, error_size) != 0) {
        return -1;
    }
    if (process->app.settings->mirror[0] != '\0' && open_mirror(process, error, error_size) != 0) {
        return -1;
    }
    process_watch_signals(&process->signals, loop_base(process->app.loop), on_signal, process);
    process->reload =
        reload_new(loop_base(process->app.loop), process->app.settings, process->app.store, true);
    if (serve_http(process, error, error_size) != 0) {
        return -1;
    }
    join_fleet(process);
    return 0;
}

static void tear_down(struct process *process)
{
    listener_close(&process->listener);
    process_unwatch_signals(&process->signals);
    reload_free(&process->reload);
    net_free(&process->app.net);
    fleet_free(&process->fleet);
    health_free(&process->health);
    if (process->app.http != NULL) {
        http_server_free(&process->app.http);
    }
    logs_dump_free(&process->dump);
    logs_mirror_free(&process->mirror);
    sink_free(&process->sink);
    buf_free(&process->complaint);
    store_close(&process->app.store);
    cidr_list_free(&process->app.trusted);
    wheel_free(&process->app.wheel);
    log_out_detach(LOG_LINGER_MS);
    loop_free(&process->app.loop);
}

int sink_verb(struct settings *settings)
{
    struct process process = {.app = {.settings = settings}};
    char error[512] = "";
    int status = build(&process, error, sizeof(error));
    if (status == 0) {
        char text[ADDRESS_TEXT];
        log_info("sink at work",
                 LOG_TEXT_FIELD("address", address_text(listener_address(process.listener), text)),
                 LOG_TEXT_FIELD("name", process.app.node));
        notify_ready("at work");
        loop_run(process.app.loop);
        log_info("ended", LOG_TEXT_FIELD("name", process.app.node));
    } else {
        log_error("cannot start", LOG_TEXT_FIELD("error", error));
    }
    tear_down(&process);
    return status == 0 ? 0 : 1;
}
