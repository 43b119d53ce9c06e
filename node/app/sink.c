/* The wiring of `muster sink`: the store (or another server's live stream) above, PostgreSQL below,
 * and a small HTTP server for those who watch it.
 *
 *     SIGTERM -> not ready -> what is read is stored, the lanes are let go -> exit 0 */
#include "store/base/clock.h"
#include "store/sink/sink.h"

#include "node/app/node.h"
#include "node/app/notify.h"
#include "node/app/process.h"
#include "node/core/log.h"
#include "node/core/log_out.h"
#include "node/core/loop.h"
#include "node/core/metrics_process.h"
#include "node/core/name.h"
#include "node/net/listener.h"
#include "node/proto/http/http.h"
#include "node/service/fleet/fleet.h"
#include "node/service/logs/dump.h"
#include "node/service/logs/row.h"

#include <stdio.h>
#include <string.h>

enum { STOP_MS = 10 * 1000, DAY_MS = 86400 * 1000 };

struct process {
    const struct settings *settings;
    char name[NAME_SIZE], stream[NAME_SIZE + 5];
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct store *store; /* NULL with --from */
    struct net *net;
    struct http_server *http;
    struct listener *listener;
    struct sink *sink;
    struct fleet *fleet;    /* NULL with --from */
    struct logs_dump *dump; /* with --from */
    struct process_signals signals;
    bool stopping;
};

/* ------------------------------------------------------------------------------------ reports */

static void on_say(void *arg, bool bad, const char *what, const char *text)
{
    (void)arg;
    if (bad) {
        log_warn("sink", LOG_TEXT_FIELD("about", what), LOG_TEXT_FIELD("detail", text));
    } else {
        log_info("sink", LOG_TEXT_FIELD("about", what), LOG_TEXT_FIELD("detail", text));
    }
}

static const char *unready(const struct process *process)
{
    if (process->stopping) {
        return "stopping";
    }
    if (process->store != NULL && !store_ready(process->store)) {
        return "the store cannot be reached";
    }
    if (process->dump != NULL && !logs_dump_is_open(process->dump)) {
        return "the server to listen at cannot be reached";
    }
    return sink_unready(process->sink);
}

static void refresh(struct process *process)
{
    struct metrics *metrics = &process->metrics;
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

/* Asked each time before figures are shown to the fleet. */
static const char *trouble(void *arg)
{
    refresh(arg);
    return unready(arg);
}

/* The loop turns, or nobody would answer. */
static void on_healthz(void *arg, struct http_request *request)
{
    (void)arg;
    http_reply(request, 200, "text/plain; charset=utf-8", SPAN("ok\n"));
}

static void on_readyz(void *arg, struct http_request *request)
{
    const char *reason = unready(arg);
    if (reason != NULL) {
        http_reply_error(request, 503, "%s", reason);
    } else {
        http_reply(request, 200, "text/plain; charset=utf-8", SPAN("ready\n"));
    }
}

static void on_metrics(void *arg, struct http_request *request)
{
    struct process *process = arg;
    struct buf text = {0};
    refresh(process);
    metrics_process_refresh(&process->metrics, process->store);
    metrics_print(&process->metrics, &text);
    http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_span(&text));
    buf_free(&text);
}

/* ------------------------------------------------------------------------------------ the end */

static void on_stopped(void *arg)
{
    struct process *process = arg;
    loop_stop(process->loop);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct process *process = arg;
    (void)what;
    if (process->stopping) {
        log_warn("second signal, ending now", LOG_NUMBER_FIELD("signal", number));
        loop_stop(process->loop);
        return;
    }
    log_info("stopping");
    notify_stopping(STOP_MS);
    process->stopping = true;
    if (process->fleet != NULL) {
        fleet_leave(process->fleet);
    }
    logs_dump_free(&process->dump);
    sink_stop(process->sink, STOP_MS, on_stopped, process);
}

/* ------------------------------------------------------------------------------------ building up
 */

static int open_store(struct process *process, char *error, size_t error_size)
{
    const struct settings *settings = process->settings;
    if (strcmp(settings->store, "memory:") == 0) {
        snprintf(error, error_size,
                 "--store is memory:, which no other process can reach; give the nodes' Redis, or "
                 "--from ws://host/logs/listen");
        return -1;
    }
    process->store = process_open_store(settings, loop_base(process->loop), process->name,
                                        &process->metrics, error, error_size);
    return process->store != NULL ? 0 : -1;
}

static int serve_http(struct process *process, char *error, size_t error_size)
{
    const struct settings *settings = process->settings;
    const char *bind = settings->admin[0] != '\0' ? settings->admin : settings->http;
    process->net =
        net_new(process->loop, process->wheel, &process->metrics,
                &(struct net_limits){
                    .queue = (size_t)settings->queue_limit, .connections = 1000, .per_address = 0});
    process->http = process_http(settings, process->net);
    metrics_set(&process->metrics, METRIC_START_TIME, clock_unix_ms() / 1000);
    metrics_set(&process->metrics, METRIC_BUILD_SINK, 1);
    http_route(process->http, "GET", "/healthz", on_healthz, process);
    http_route(process->http, "GET", "/readyz", on_readyz, process);
    http_route(process->http, "GET", "/metrics", on_metrics, process);
    process->listener =
        listener_open(process->net, bind, http_server_accept, process->http, error, error_size);
    return process->listener != NULL ? 0 : -1;
}

static void make_sink(struct process *process)
{
    const struct settings *settings = process->settings;
    const char *prefix = settings->store_prefix;
    snprintf(process->stream, sizeof(process->stream), "from %s", process->name);
    process->sink = sink_new(&(struct sink_options){
        .base = loop_base(process->loop),
        .store = process->store,
        .uri = settings->postgres,
        .stream = process->store != NULL ? prefix : process->stream,
        .lanes = (unsigned)settings->logs_lanes,
        .rows = (size_t)settings->sink_rows,
        .bytes = (size_t)settings->sink_bytes,
        .parallel = (unsigned)settings->sink_parallel,
        .age_ms = (uint32_t)settings->sink_age,
        .keep = (uint64_t)settings->sink_keep_entries,
        .keep_ms = (uint32_t)settings->sink_keep,
        .retention_days = (unsigned)((settings->sink_retention + DAY_MS - 1) / DAY_MS),
        .search = settings->sink_search == 1,
        .codec = {.table = LOGS_TABLE, .row = logs_row},
        .say = on_say,
        .arg = process,
    });
}

/* The sink has its place on the fleet's page, like a node. */
static void join_fleet(struct process *process)
{
    if (process->store != NULL) {
        process->fleet = fleet_new(process->http, &(struct fleet_options){
                                                      .loop = process->loop,
                                                      .store = process->store,
                                                      .metrics = &process->metrics,
                                                      .node = process->name,
                                                      .kind = "sink",
                                                      .http = process->settings->http,
                                                      .token = process->settings->status_token,
                                                      .trouble = trouble,
                                                      .trouble_arg = process,
                                                  });
    }
}

static bool on_entry(void *arg, const struct sink_item *item)
{
    struct process *process = arg;
    return sink_feed(process->sink, item);
}

static bool has_room(void *arg)
{
    const struct process *process = arg;
    return sink_has_room(process->sink);
}

static int open_dump(struct process *process, char *error, size_t error_size)
{
    process->dump = logs_dump_new(
        &(struct logs_dump_options){
            .base = loop_base(process->loop),
            .url = process->settings->from,
            .ca = process->settings->from_ca,
            .token = process->settings->logs_listen_token,
            .entry = on_entry,
            .room = has_room,
            .say = on_say,
            .arg = process,
        },
        error, error_size);
    return process->dump != NULL ? 0 : -1;
}

static int build(struct process *process, char *error, size_t error_size)
{
    name_choose("sink", process->name);
    process->loop = loop_new();
    log_out_attach(loop_base(process->loop));
    process->wheel = wheel_new(process->loop);
    if (process->settings->postgres[0] == '\0') {
        snprintf(error, error_size, "--postgres is not set");
        return -1;
    }
    bool from = process->settings->from[0] != '\0';
    if (!from && open_store(process, error, error_size) != 0) {
        return -1;
    }
    make_sink(process);
    if (from && open_dump(process, error, error_size) != 0) {
        return -1;
    }
    process_watch_signals(&process->signals, loop_base(process->loop), on_signal, process);
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
    net_free(&process->net);
    fleet_free(&process->fleet);
    if (process->http != NULL) {
        http_server_free(&process->http);
    }
    logs_dump_free(&process->dump);
    sink_free(&process->sink);
    store_close(&process->store);
    wheel_free(&process->wheel);
    log_out_detach(LOG_LINGER_MS);
    loop_free(&process->loop);
}

int sink_verb(const struct settings *settings)
{
    struct process process = {.settings = settings};
    char error[512] = "";
    int status = build(&process, error, sizeof(error));
    if (status == 0) {
        char text[ADDRESS_TEXT];
        log_info("sink at work",
                 LOG_TEXT_FIELD("address", address_text(listener_address(process.listener), text)),
                 LOG_TEXT_FIELD("name", process.name));
        notify_ready("at work");
        loop_run(process.loop);
        log_info("ended", LOG_TEXT_FIELD("name", process.name));
    } else {
        log_error("cannot start", LOG_TEXT_FIELD("error", error));
    }
    tear_down(&process);
    return status == 0 ? 0 : 1;
}
