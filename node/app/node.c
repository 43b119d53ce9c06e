/* The life of a node: what is made from what, in order, and torn down in reverse. No logic of a
 * protocol.
 *
 *     SIGTERM -> not ready, listeners closed -> clients leave, spread over the drain
 *             -> claims released -> exit 0 */
#include "node/app/node.h"

#include "node/app/listeners.h"
#include "node/app/notify.h"
#include "node/app/process.h"
#include "node/app/services.h"
#include "node/core/log.h"
#include "node/core/log_out.h"
#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "node/core/wheel.h"
#include "node/net/net.h"
#include "node/proto/http/http.h"
#include "store/base/clock.h"
#include "store/base/list.h"
#include "store/store.h"

#include <stdio.h>
#include <sys/resource.h>

enum { OWN_DESCRIPTORS = 100, SAME_REQUEST_MS = 1000 };

struct node {
    const struct settings *settings;
    char name[NAME_SIZE];
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct store *store;
    struct net *net;
    struct http_server *http, *admin; /* admin is http where no address of its own is set */
    struct services *services;
    struct listeners *listeners;
    struct process_signals signals;
    bool is_worker;
    bool draining, failed;
    uint64_t draining_since_ms;
    struct wheel_timer last_datagrams;
};

/* ------------------------------------------------------------------------------------ leaving */

static void on_released(void *arg)
{
    struct node *node = arg;
    loop_stop(node->loop);
}

static void release(struct node *node)
{
    log_info("clients gone, releasing claims");
    store_release_all(node->store, on_released, node);
}

static void on_last_datagrams(struct wheel_timer *timer)
{
    release(CONTAINER_OF(timer, struct node, last_datagrams));
}

/* No connection is left. Peers of the tracker have none and cannot be told to go: while there are
 * any they are answered to the end of the drain, by when balancers send them elsewhere. */
static void on_drained(void *arg)
{
    struct node *node = arg;
    uint64_t drained_ms = clock_monotonic_ms() - node->draining_since_ms;
    uint64_t drain_ms = (uint64_t)node->settings->drain;
    if (node->metrics.value[METRIC_TRACKER_PEERS] > 0 && drained_ms < drain_ms) {
        wheel_timer_init(&node->last_datagrams, on_last_datagrams);
        wheel_set(node->wheel, &node->last_datagrams, drain_ms - drained_ms);
    } else {
        release(node);
    }
}

static void drain(struct node *node)
{
    bool full;
    log_info("draining", LOG_NUMBER_FIELD("connections", net_connections(node->net, &full)));
    if (!node->is_worker) { /* the workers' parent speaks for all of them */
        notify_stopping((uint64_t)node->settings->drain);
    }
    node->draining = true;
    node->draining_since_ms = clock_monotonic_ms();
    listeners_retire(node->listeners);
    http_server_drain(node->http);
    services_drain(node->services);
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

/* --------------------------------------------------------------------------------- building up */

static void on_doors_failed(void *arg, const char *error)
{
    struct node *node = arg;
    log_error("cannot start", LOG_TEXT_FIELD("error", error));
    node->failed = true;
    loop_stop(node->loop);
}

static int open_doors(struct node *node, char *error, size_t error_size)
{
    const struct listeners_parts parts = {
        .settings = node->settings,
        .net = node->net,
        .store = node->store,
        .http = node->http,
        .admin = node->admin,
        .status = services_status(node->services),
        .relay = services_relay(node->services),
        .node = node->name,
        .worker = node->is_worker,
        .failed = on_doors_failed,
        .arg = node,
    };
    node->listeners = listeners_new(&parts, error, error_size);
    return node->listeners != NULL ? 0 : -1;
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
    int64_t chosen = wanted ? settings->connection_limit : possible;
    return (uint32_t)(chosen > 1 ? chosen : 1);
}

static int open_services(struct node *node, char *error, size_t error_size)
{
    const struct services_parts parts = {
        .settings = node->settings,
        .node = node->name,
        .loop = node->loop,
        .wheel = node->wheel,
        .metrics = &node->metrics,
        .store = node->store,
        .net = node->net,
        .http = node->http,
        .admin = node->admin,
    };
    node->services = services_new(&parts, error, error_size);
    return node->services != NULL ? 0 : -1;
}

static int build(struct node *node, char *error, size_t error_size)
{
    const struct settings *settings = node->settings;
    node->loop = loop_new();
    log_out_attach(loop_base(node->loop));
    node->wheel = wheel_new(node->loop);
    node->store = process_open_store(settings, loop_base(node->loop), node->name, &node->metrics,
                                     error, error_size);
    if (node->store == NULL) {
        return -1;
    }
    const struct net_limits limits = {
        .queue = (size_t)settings->queue_limit,
        .connections = connection_limit(settings),
        .per_address = (uint32_t)settings->address_limit,
        .share_ports = node->is_worker,
    };
    node->net = net_new(node->loop, node->wheel, &node->metrics, &limits);
    node->http = process_http(settings, node->net);
    node->admin = settings->admin[0] != '\0' ? process_http(settings, node->net) : node->http;
    process_watch_signals(&node->signals, loop_base(node->loop), on_signal, node);
    if (open_services(node, error, error_size) != 0) {
        return -1;
    }
    return open_doors(node, error, error_size);
}

static void tear_down(struct node *node)
{
    listeners_free(&node->listeners);
    services_stop(node->services);
    net_free(&node->net);
    services_free(&node->services);
    if (node->admin != node->http) {
        http_server_free(&node->admin);
    }
    http_server_free(&node->http);
    store_close(&node->store);
    wheel_free(&node->wheel);
    process_unwatch_signals(&node->signals);
    log_out_detach(LOG_LINGER_MS);
    loop_free(&node->loop);
}

int node_run(const struct settings *settings, const struct name_worker *worker)
{
    struct node node = {.settings = settings, .is_worker = worker->number >= 0};
    char error[256] = "";
    name_choose_node(worker, node.name);
    int status = build(&node, error, sizeof(error));
    if (status == 0) {
        log_info("serving", LOG_TEXT_FIELD("node", node.name),
                 LOG_TEXT_FIELD("version", MUSTER_VERSION));
        if (!node.is_worker) {
            notify_ready("serving");
        }
        loop_run(node.loop);
        log_info("ended", LOG_TEXT_FIELD("node", node.name));
    } else {
        log_error("cannot start", LOG_TEXT_FIELD("error", error));
    }
    tear_down(&node);
    return status == 0 && !node.failed ? 0 : 1;
}
