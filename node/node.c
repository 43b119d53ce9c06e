/* The wiring of a node: what is made from what, in order, and torn down in reverse. No logic of a
 * protocol.
 *
 *     SIGTERM -> not ready, listeners closed -> clients leave, spread over the drain
 *             -> claims released -> exit 0 */
#include "node/node.h"

#include "node/chat_wiring.h"
#include "node/core/log.h"
#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "node/core/wheel.h"
#include "node/doors.h"
#include "node/fleet_wiring.h"
#include "node/net/net.h"
#include "node/proto/http.h"
#include "node/service/dispatch.h"
#include "node/service/fleet.h"
#include "node/service/logs.h"
#include "node/service/relay.h"
#include "node/service/status.h"
#include "node/service/sync.h"
#include "store/base/clock.h"
#include "store/store.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SIGNALS = 2, OWN_DESCRIPTORS = 100, SAME_REQUEST_MS = 1000 };

struct node {
    const struct settings *settings;
    char name[NAME_SIZE]; /* unique in the fleet */
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct store *store;
    struct net *net;
    struct http_server *http, *admin; /* admin is http where no address of its own is set */
    struct doors *doors;
    struct status *status;
    struct fleet *fleet;
    struct sync *sync;
    struct logs *logs;
    struct dispatch *dispatch; /* NULL: off */
    struct relay *relay;
    struct chat_wiring chat;
    struct event *signals[SIGNALS];
    bool is_worker;
    bool draining, failed;
    uint64_t draining_since_ms;
};

/* ------------------------------------------------------------------------------------ the store's
 * reports */

static void on_link(void *arg, bool up, const char *text)
{
    (void)arg;
    if (up) {
        log_info("store link up", LOG_TEXT_FIELD("detail", text));
    } else {
        log_warn("store link down", LOG_TEXT_FIELD("detail", text));
    }
}

static void on_trouble(void *arg, const char *text)
{
    (void)arg;
    log_warn("store refuses a command", LOG_TEXT_FIELD("detail", text));
}

static void on_bus_lag(void *arg, double seconds)
{
    struct node *node = arg;
    metric_observe(&node->metrics, HISTOGRAM_BUS_LAG, seconds);
}

static void on_command_time(void *arg, double seconds)
{
    struct node *node = arg;
    metric_observe(&node->metrics, HISTOGRAM_STORE_TIME, seconds);
}

/* ------------------------------------------------------------------------------------ leaving */

static void on_released(void *arg)
{
    struct node *node = arg;
    loop_stop(node->loop);
}

static void on_drained(void *arg)
{
    struct node *node = arg;
    log_info("clients gone, releasing claims");
    store_release_all(node->store, on_released, node);
}

static void drain(struct node *node)
{
    bool full;
    log_info("draining", LOG_NUMBER_FIELD("connections", net_connections(node->net, &full)));
    node->draining = true;
    node->draining_since_ms = clock_monotonic_ms();
    status_drain(node->status);
    doors_retire(node->doors);
    http_server_drain(node->http);
    dispatch_drain(node->dispatch);
    net_drain(node->net, (uint32_t)node->settings->drain, on_drained, node);
}

/* A terminal, or a service manager, signals all processes of a group; the parent of workers passes
 * the signal on beside that. Both mean the same request. */
static bool repeated(const struct node *node)
{
    return node->is_worker && clock_monotonic_ms() - node->draining_since_ms < SAME_REQUEST_MS;
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    (void)what;
    struct node *node = arg;
    if (node->draining && repeated(node)) {
        return;
    }
    if (node->draining) {
        log_warn("second signal, ending now", LOG_NUMBER_FIELD("signal", number));
        loop_stop(node->loop);
    } else {
        drain(node);
    }
}

static void watch_signals(struct node *node)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT};
    for (int i = 0; i < SIGNALS; i++) {
        node->signals[i] = evsignal_new(loop_base(node->loop), numbers[i], on_signal, node);
        event_add(node->signals[i], NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

/* --------------------------------------------------------------------------------- building up */

struct store_tls node_store_tls(const struct settings *settings)
{
    return (struct store_tls){
        .ca = settings->store_ca,
        .cert = settings->store_cert,
        .key = settings->store_key,
        .server_name = settings->store_server_name,
    };
}

static int open_store(struct node *node, char *error, size_t error_size)
{
    node->store = store_open(
        &(struct store_options){
            .base = loop_base(node->loop),
            .url = node->settings->store,
            .tls = node_store_tls(node->settings),
            .prefix = node->settings->store_prefix,
            .node = node->name,
            .lease_ms = (uint32_t)node->settings->lease,
            .observer = {.link = on_link,
                         .trouble = on_trouble,
                         .bus_lag = on_bus_lag,
                         .command_time = on_command_time,
                         .arg = node},
        },
        error, error_size);
    return node->store != NULL ? 0 : -1;
}

static struct http_server *new_server(const struct node *node)
{
    const struct settings *settings = node->settings;
    return http_server_new(node->net, &(struct http_options){
                                          .header_limit = (size_t)settings->header_limit,
                                          .body_limit = (size_t)settings->message_limit,
                                          .request_ms = (uint32_t)settings->request_timeout,
                                          .keep_alive_ms = (uint32_t)settings->keep_alive,
                                          .ws_message_limit = (size_t)settings->message_limit,
                                          .origins = settings->origins,
                                      });
}

static void make_logs(struct node *node)
{
    const struct settings *settings = node->settings;
    bool memory = strcmp(settings->store, "memory:") == 0; /* which no sink can reach */
    node->logs = logs_new(node->http, &(struct logs_options){
                                          .net = node->net,
                                          .store = node->store,
                                          .metrics = &node->metrics,
                                          .node = node->name,
                                          .lanes = (unsigned)settings->logs_lanes,
                                          .bound = (uint64_t)settings->logs_bound,
                                          .refuse = settings->postgres[0] != '\0' && !memory,
                                          .entry_limit = (size_t)settings->logs_entry_limit,
                                          .queue_limit = (size_t)settings->queue_limit,
                                          .rate = (uint32_t)settings->logs_rate,
                                          .add_token = settings->logs_add_token,
                                          .listen_token = settings->logs_listen_token,
                                      });
}

static const char *trouble(void *arg)
{
    return status_trouble(arg);
}

static void warn_of_open_page(const struct settings *settings)
{
    if (settings->env == ENV_PRODUCTION && settings->admin[0] == '\0' &&
        settings->status_token[0] == '\0') {
        log_warn("the status page is open to whoever reaches http: set admin or status-token");
    }
}

static int make_services(struct node *node, char *error, size_t error_size)
{
    warn_of_open_page(node->settings);
    node->status =
        status_new(node->admin, &(struct status_options){
                                    .net = node->net,
                                    .store = node->store,
                                    .metrics = &node->metrics,
                                    .node = node->name,
                                    .memory_limit = (uint64_t)node->settings->memory_limit,
                                });
    if (node->admin != node->http) {
        status_route_text(node->status, node->http);
    }
    node->fleet = fleet_new(node->admin, &(struct fleet_options){
                                             .loop = node->loop,
                                             .store = node->store,
                                             .metrics = &node->metrics,
                                             .node = node->name,
                                             .kind = "node",
                                             .token = node->settings->status_token,
                                             .trouble = trouble,
                                             .trouble_arg = node->status,
                                         });
    node->sync = sync_new(node->http, &(struct sync_options){
                                          .store = node->store,
                                          .metrics = &node->metrics,
                                          .node = node->name,
                                          .idle_ms = (uint32_t)node->settings->sync_idle,
                                      });
    make_logs(node);
    return chat_wiring_make(&node->chat, node->settings,
                            &(struct chat_wiring_parts){
                                .base = loop_base(node->loop),
                                .http = node->http,
                                .store = node->store,
                                .metrics = &node->metrics,
                                .wheel = node->wheel,
                                .node = node->name,
                            },
                            error, error_size);
}

static int make_dispatch(struct node *node, char *error, size_t error_size)
{
    const struct settings *settings = node->settings;
    const struct dispatch_options options = {
        .net = node->net,
        .store = node->store,
        .metrics = &node->metrics,
        .node = node->name,
        .ports = settings->dispatch_ports,
        .bind = settings->dispatch_bind,
        .secret = settings->dispatch_secret,
        .proxy = settings->dispatch_proxy,
        .production = settings->env == ENV_PRODUCTION,
        .stall_ms = (uint32_t)settings->dispatch_stall,
        .queue_limit = (size_t)settings->queue_limit,
        .message_limit = (size_t)settings->message_limit,
    };
    if (settings->dispatch_ports[0] == '\0') {
        return 0;
    }
    if (dispatch_check(&options, error, error_size) != 0) {
        return -1;
    }
    node->dispatch = dispatch_new(node->http, &options);
    return 0;
}

static int make_relay(struct node *node, char *error, size_t error_size)
{
    const struct settings *settings = node->settings;
    node->relay = relay_new(node->http,
                            &(struct relay_options){
                                .net = node->net,
                                .store = node->store,
                                .metrics = &node->metrics,
                                .node = node->name,
                                .listen = settings->relay,
                                .name = settings->relay_name,
                                .color = settings->relay_color,
                                .prefix = settings->relay_prefix,
                                .secret = settings->relay_secret,
                                .status_token = settings->relay_status_token,
                                .pacing = settings->relay_pacing != 0,
                                .proxy = settings->relay_proxy != 0,
                                .gap_ms = (uint32_t)settings->relay_gap,
                                .queue_limit = (size_t)settings->queue_limit,
                                .packet_limit = (size_t)settings->relay_limit,
                                .rate = (uint32_t)settings->relay_rate,
                                .joins = (uint32_t)settings->relay_joins,
                                .timeout_ms = (uint32_t)settings->relay_timeout,
                            },
                            error, error_size);
    return node->relay != NULL ? 0 : -1;
}

static void on_doors_failed(void *arg, const char *error)
{
    struct node *node = arg;
    log_error("cannot start", LOG_TEXT_FIELD("error", error));
    node->failed = true;
    loop_stop(node->loop);
}

static int open_doors(struct node *node, char *error, size_t error_size)
{
    node->doors = doors_new(
        &(struct doors_parts){
            .settings = node->settings,
            .net = node->net,
            .store = node->store,
            .http = node->http,
            .admin = node->admin,
            .status = node->status,
            .relay = node->relay,
            .node = node->name,
            .worker = node->is_worker,
            .failed = on_doors_failed,
            .arg = node,
        },
        error, error_size);
    return node->doors != NULL ? 0 : -1;
}

/* What the system allows, but for the descriptors that the node itself needs. */
static uint32_t connection_limit(const struct settings *settings)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return (uint32_t)settings->connection_limit;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int64_t possible =
        limit.rlim_cur < INT32_MAX ? (int64_t)limit.rlim_cur - OWN_DESCRIPTORS : INT32_MAX;
    if (settings->connection_limit > possible) {
        log_warn("connection limit lowered to what the descriptor limit allows",
                 LOG_NUMBER_FIELD("limit", possible));
    }
    bool wanted = settings->connection_limit > 0 && settings->connection_limit < possible;
    return (uint32_t)(wanted ? settings->connection_limit : possible > 1 ? possible : 1);
}

static int build(struct node *node, char *error, size_t error_size)
{
    const struct settings *settings = node->settings;
    node->loop = loop_new();
    node->wheel = wheel_new(node->loop);
    if (open_store(node, error, error_size) != 0) {
        return -1;
    }
    node->net = net_new(node->loop, node->wheel, &node->metrics,
                        &(struct net_limits){
                            .queue = (size_t)settings->queue_limit,
                            .connections = connection_limit(settings),
                            .per_address = (uint32_t)settings->address_limit,
                            .share_ports = node->is_worker,
                        });
    node->http = new_server(node);
    node->admin = settings->admin[0] != '\0' ? new_server(node) : node->http;
    if (make_services(node, error, error_size) != 0) {
        return -1;
    }
    watch_signals(node);
    if (make_relay(node, error, error_size) != 0 || make_dispatch(node, error, error_size) != 0) {
        return -1;
    }
    fleet_wiring_make(node->fleet, &(struct fleet_wiring_parts){.sync = node->sync,
                                                                .chat = node->chat.chat,
                                                                .relay = node->relay,
                                                                .dispatch = node->dispatch});
    return open_doors(node, error, error_size);
}

static void tear_down(struct node *node)
{
    doors_free(&node->doors);
    dispatch_drain(node->dispatch);
    net_free(&node->net);
    logs_free(&node->logs);
    dispatch_free(&node->dispatch);
    relay_free(&node->relay);
    chat_wiring_free(&node->chat);
    sync_free(&node->sync);
    fleet_free(&node->fleet);
    status_free(&node->status);
    if (node->admin != node->http) {
        http_server_free(&node->admin);
    }
    http_server_free(&node->http);
    store_close(&node->store);
    wheel_free(&node->wheel);
    /* Last: from here on a signal has its default effect again. */
    for (int i = 0; i < SIGNALS; i++) {
        if (node->signals[i] != NULL) {
            event_free(node->signals[i]);
        }
    }
    loop_free(&node->loop);
}

int node_run(const struct settings *settings, const struct name_worker *worker)
{
    struct node node = {.settings = settings, .is_worker = worker->number >= 0};
    char error[256] = "";
    name_choose(worker, node.name);
    int status = build(&node, error, sizeof error);
    if (status == 0) {
        log_info("serving", LOG_TEXT_FIELD("node", node.name),
                 LOG_TEXT_FIELD("version", MUSTER_VERSION));
        loop_run(node.loop);
        log_info("ended", LOG_TEXT_FIELD("node", node.name));
    } else {
        log_error("cannot start", LOG_TEXT_FIELD("error", error));
    }
    tear_down(&node);
    return status == 0 && !node.failed ? 0 : 1;
}
