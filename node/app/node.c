/* SPDX-License-Identifier: MIT */
/* The life of a node: what is made from what, in order, and torn down in reverse. No logic of a
 * protocol.
 *
 *     SIGTERM -> not ready, drain-delay -> listeners closed -> clients leave, spread over the drain
 *             -> claims released -> exit 0 */
#include "node/app/node.h"

#include "node/app/app.h"
#include "node/app/beat.h"
#include "node/app/handover.h"
#include "node/app/health.h"
#include "node/app/listeners.h"
#include "node/app/notify.h"
#include "node/app/process.h"
#include "node/app/reload.h"
#include "node/app/services.h"
#include "node/core/log.h"
#include "node/core/log_out.h"
#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "node/core/wheel.h"
#include "node/net/inherited.h"
#include "node/net/net.h"
#include "node/proto/http/http.h"
#include "store/base/clock.h"
#include "store/base/list.h"
#include "store/base/timer.h"
#include "store/store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum {
    OWN_DESCRIPTORS = 100 + ADMISSION_WATCHERS,
    SAME_REQUEST_MS = 1000,
    LOOK_MS = 100,
    UNCLAIMED_MS = 10 * 1000, /* after the drain, until sockets that nobody took are closed */
    POOL_MOST = 8192,
};

struct node {
    struct app app;
    struct health *health;
    struct services *services;
    struct listeners *listeners;
    struct process_signals signals;
    struct reload *reload;
    struct event *leave;     /* when the delay of the drain is over */
    struct event *beat;      /* of a worker */
    struct event *hand_over; /* SIGUSR2 */
    struct event *look; /* of a successor: does it serve; of a predecessor: does that one live */
    bool succeeds;
    uint64_t drop_at_ms; /* of a successor that serves: when what nobody took is closed */
    bool draining;
    uint64_t asked_ms;          /* to leave */
    uint64_t draining_since_ms; /* the delay comes first */
    struct wheel_timer last_datagrams;
};

/* ------------------------------------------------------------------------------------ leaving */

static void on_released(void *arg)
{
    struct node *node = arg;
    loop_stop(node->app.loop);
}

static void release(struct node *node)
{
    log_info("clients gone, releasing claims");
    store_release_all(node->app.store, on_released, node);
}

static void on_last_datagrams(struct wheel_timer *timer)
{
    release(CONTAINER_OF(timer, struct node, last_datagrams));
}

/* No connection is left. Peers of the tracker have none and cannot be told to go: while any are
 * active the node answers them to the end of the drain, by which time balancers send them
 * elsewhere. */
static void on_drained(void *arg)
{
    struct node *node = arg;
    uint64_t drained_ms = clock_monotonic_ms() - node->draining_since_ms;
    uint64_t drain_ms = node->app.settings->drain;
    if (node->app.metrics.value[METRIC_TRACKER_PEERS] > 0 && drained_ms < drain_ms) {
        wheel_timer_init(&node->last_datagrams, on_last_datagrams);
        wheel_set(node->app.wheel, &node->last_datagrams, drain_ms - drained_ms);
    } else {
        release(node);
    }
}

static void on_leave(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct node *node = arg;
    bool full;
    log_info("draining", LOG_NUMBER_FIELD("connections", net_connections(node->app.net, &full)));
    listeners_retire(node->listeners);
    http_server_drain(node->app.http);
    services_drain(node->services);
    net_drain(node->app.net, node->app.settings->drain, on_drained, node);
}

/* Not ready from now on. For as long as balancers take to see it, clients are still let in. */
static void drain(struct node *node)
{
    uint32_t delay_ms = node->app.settings->drain_delay;
    node->draining = true;
    node->asked_ms = clock_monotonic_ms();
    bool handed = node->app.worker ? handover_is_told() : handover_succeeded();
    if (handed) {
        log_info("the successor serves");
        net_hand_over(node->app.net);
        delay_ms = 0;
    }
    node->draining_since_ms = node->asked_ms + delay_ms;
    health_drain(node->health);
    if (!node->app.worker && !handed) { /* the workers' parent speaks for all of them */
        notify_stopping((uint64_t)delay_ms + node->app.settings->drain);
    }
    if (delay_ms > 0) {
        log_info("not ready any more, still letting clients in", LOG_NUMBER_FIELD("ms", delay_ms));
        timer_after(node->leave, delay_ms);
    } else {
        on_leave(-1, 0, node);
    }
}

/* A terminal, or a service manager, signals all processes of a group; the parent of workers passes
 * the signal on beside that. Both mean the same request. */
static bool repeated(const struct node *node)
{
    return node->app.worker && clock_monotonic_ms() - node->asked_ms < SAME_REQUEST_MS;
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
        loop_stop(node->app.loop);
    } else {
        drain(node);
    }
}

/* ------------------------------------------------------------------------------------ handing over */

static bool is_ready(void *arg)
{
    const struct node *node = arg;
    return node->health != NULL && health_trouble(node->health) == NULL;
}

static void on_hand_over(evutil_socket_t number, short what, void *arg)
{
    struct node *node = arg;
    int *fds;
    (void)number, (void)what;
    if (node->app.worker) {
        handover_send();
        return;
    }
    log_info("SIGUSR2: a successor is to take the place of this node");
    if (node->draining || handover_succeeded()) {
        log_warn("there is one already, or this node leaves");
        return;
    }
    fds = mem_alloc(HANDOVER_SOCKETS_MOST * sizeof(*fds));
    size_t count = inherited_mine(fds, HANDOVER_SOCKETS_MOST);
    struct handover_socket *sockets = mem_alloc((count + 1) * sizeof(*sockets));
    for (size_t i = 0; i < count; i++) {
        sockets[i] = (struct handover_socket){0, fds[i]};
    }
    handover_start(sockets, count);
    free(sockets);
    free(fds);
    timer_after(node->look, LOOK_MS);
}

/* It serves. What it was given and nobody took is closed when the predecessor's clients have had time
 * to come over: device ports are opened when the fleet has told of their drivers, and stay open while
 * these come from there. */
static void succeed(struct node *node)
{
    node->drop_at_ms = clock_monotonic_ms() + node->app.settings->drain + UNCLAIMED_MS;
    if (!node->app.worker) {
        handover_complete();
    }
}

/* Of a successor: whether it serves. A predecessor looks whether its successor lives. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct node *node = arg;
    (void)fd, (void)what;
    if (node->succeeds && node->drop_at_ms == 0 && is_ready(node)) {
        succeed(node);
    } else if (node->succeeds && node->drop_at_ms != 0 && clock_monotonic_ms() > node->drop_at_ms) {
        unsigned dropped = inherited_drop();
        log_info("taken over", LOG_NUMBER_FIELD("sockets_closed", dropped));
        node->succeeds = false;
    }
    if (handover_succeeded() || node->succeeds) {
        timer_after(node->look, LOOK_MS);
    }
}

static void watch_succession(struct node *node)
{
    struct event_base *base = loop_base(node->app.loop);
    node->succeeds = handover_has_predecessor();
    node->look = evtimer_new(base, on_look, node);
    node->hand_over = evsignal_new(base, SIGUSR2, on_hand_over, node);
    event_add(node->hand_over, NULL);
    if (node->succeeds) {
        inherited_keep();
        timer_after(node->look, LOOK_MS);
    }
}

/* --------------------------------------------------------------------------------- building up */

static int open_listeners(struct node *node, char *error, size_t error_size)
{
    const struct listeners_parts parts = {
        .app = &node->app,
        .health = node->health,
        .relay = services_relay(node->services),
        .logs = services_logs(node->services),
        .succeeds = node->succeeds,
    };
    node->listeners = listeners_new(&parts, error, error_size);
    return node->listeners != NULL ? 0 : -1;
}

/* The number of connections that the system allows, less the descriptors that the node itself
 * needs. */
static uint32_t connection_limit(const struct settings *settings)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return settings->connection_limit;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    uint32_t wanted = settings->connection_limit;
    uint32_t most = limit.rlim_cur < INT32_MAX ? (uint32_t)limit.rlim_cur : INT32_MAX;
    uint32_t possible = most > OWN_DESCRIPTORS ? most - OWN_DESCRIPTORS : 1;
    if (wanted > possible) {
        log_warn("connection limit lowered to what the descriptor limit allows",
                 LOG_NUMBER_FIELD("limit", possible));
    }
    return wanted > 0 && wanted < possible ? wanted : possible;
}

static int build(struct node *node, char *error, size_t error_size)
{
    struct app *app = &node->app;
    const struct settings *settings = app->settings;
    app->loop = loop_new();
    loop_measure(app->loop, &app->metrics);
    log_out_attach(loop_base(app->loop));
    app->wheel = wheel_new(app->loop);
    app->pool = pool_new(app->loop, 0, POOL_MOST);
    app->store = process_open_store(settings, loop_base(app->loop), app->node, &app->metrics, error,
                                    error_size);
    if (app->store == NULL) {
        return -1;
    }
    if (process_trusted(settings, &app->trusted, error, error_size) != 0) {
        return -1;
    }
    const struct net_limits limits = {
        .queue = settings->queue_limit,
        .connections = connection_limit(settings),
        .per_address = settings->address_limit,
        .share_ports = app->worker,
        .trusted = &app->trusted,
    };
    app->net = net_new(app->loop, app->wheel, &app->metrics, &limits);
    app->http = process_http(settings, app->net, &app->trusted, false);
    app->admin = settings->admin[0] != '\0' ? process_http(settings, app->net, &app->trusted, true)
                                            : app->http;
    process_watch_signals(&node->signals, loop_base(app->loop), on_signal, node);
    node->beat = beat_start(loop_base(app->loop), is_ready, node);
    watch_succession(node);
    node->leave = event_new(loop_base(app->loop), -1, 0, on_leave, node);
    node->reload = reload_new(loop_base(app->loop), app->settings, app->store, false);
    node->health = health_new(&(struct health_options){.app = app});
    node->services = services_new(app, node->health, error, error_size);
    return node->services != NULL ? open_listeners(node, error, error_size) : -1;
}

static void tear_down(struct node *node)
{
    struct app *app = &node->app;
    listeners_free(&node->listeners);
    services_stop(node->services);
    net_free(&app->net);
    pool_free(&app->pool);
    services_free(&node->services);
    health_free(&node->health);
    if (app->admin != app->http) {
        http_server_free(&app->admin);
    }
    http_server_free(&app->http);
    store_close(&app->store);
    cidr_list_free(&app->trusted);
    wheel_free(&app->wheel);
    process_unwatch_signals(&node->signals);
    reload_free(&node->reload);
    beat_stop(&node->beat);
    if (node->look != NULL) {
        event_free(node->look);
        event_free(node->hand_over);
    }
    if (node->leave != NULL) {
        event_free(node->leave);
    }
    log_out_detach(LOG_LINGER_MS);
    loop_free(&app->loop);
}

int node_run(struct settings *settings, const struct name_worker *worker)
{
    struct node node = {.app = {.settings = settings, .worker = worker->number >= 0}};
    char error[256] = "";
    name_choose_node(worker, node.app.node);
    int status = build(&node, error, sizeof(error));
    if (status == 0) {
        log_info("serving", LOG_TEXT_FIELD("node", node.app.node),
                 LOG_TEXT_FIELD("version", MUSTER_VERSION));
        if (!node.app.worker) {
            notify_ready("serving");
        }
        loop_run(node.app.loop);
        log_info("ended", LOG_TEXT_FIELD("node", node.app.node));
        status = listeners_failed(node.listeners) ? -1 : 0;
    } else {
        log_error("cannot start", LOG_TEXT_FIELD("error", error));
    }
    tear_down(&node);
    return status == 0 ? 0 : 1;
}
