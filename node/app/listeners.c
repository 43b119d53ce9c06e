/* SPDX-License-Identifier: MIT */
#include "node/app/listeners.h"

#include "node/app/services.h"
#include "node/core/log.h"
#include "node/net/listener.h"
#include "node/service/logs/logs.h"
#include "store/base/mem.h"
#include "store/base/timer.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LISTENERS_LOOK_MS = 20,
    LOOKS_MOST = 250, /* five seconds: clients are told of an outage, too */
};

struct listeners {
    struct listeners_parts parts;
    struct listener *http, *admin;
    struct tracker *tracker; /* NULL: off */
    struct event *look;      /* NULL: does not wait */
    unsigned looks;
    bool failed;
};

static void log_listening(const char *what, const struct address *address)
{
    char text[ADDRESS_TEXT];
    log_info("listening", LOG_TEXT_FIELD("for", what),
             LOG_TEXT_FIELD("address", address_text(address, text)));
}

/* ------------------------------------------------------------------------------------ each listener */

/* Puts the flag before what went wrong with it. */
static int fault_of(const char *flag, char *error, size_t error_size)
{
    char what[256];
    snprintf(what, sizeof(what), "%s", error);
    snprintf(error, error_size, "%s: %s", flag, what);
    return -1;
}

/* Each worker has its own admin port, at which no other process may answer. */
static int open_admin(struct listeners *listeners, char *error, size_t error_size)
{
    const struct app *app = listeners->parts.app;
    if (app->admin == app->http) {
        return 0;
    }
    listeners->admin = listener_open_alone(app->net, app->settings->admin, http_server_accept,
                                           app->admin, error, error_size);
    if (listeners->admin == NULL) {
        return fault_of("--admin", error, error_size);
    }
    log_listening("admin", listener_address(listeners->admin));
    return 0;
}

static int open_http(struct listeners *listeners, char *error, size_t error_size)
{
    const struct app *app = listeners->parts.app;
    listeners->http = listener_open(app->net, app->settings->http, http_server_accept, app->http,
                                    error, error_size);
    if (listeners->http == NULL) {
        return fault_of("--http", error, error_size);
    }
    log_listening("http", listener_address(listeners->http));
    return 0;
}

static int open_tracker(struct listeners *listeners, char *error, size_t error_size)
{
    const struct settings *settings = listeners->parts.app->settings;
    if (settings->tracker[0] == '\0') {
        return 0;
    }
    struct tracker_options options = services_tracker_options(settings);
    options.net = listeners->parts.app->net;
    options.store = listeners->parts.app->store;
    options.node = listeners->parts.app->node;
    listeners->tracker = tracker_new(&options, error, error_size);
    return listeners->tracker != NULL ? 0 : fault_of("--tracker", error, error_size);
}

/* The listeners that clients connect to. */
static int open_all(struct listeners *listeners, char *error, size_t error_size)
{
    if (relay_listen(listeners->parts.relay, error, error_size) != 0) {
        return fault_of("--relay", error, error_size);
    }
    bool open = logs_listen(listeners->parts.logs, error, error_size) == 0 &&
                open_http(listeners, error, error_size) == 0 &&
                open_tracker(listeners, error, error_size) == 0;
    return open ? 0 : -1;
}

/* ------------------------------------------------------------------------------------ waiting */

static void stop_waiting(struct listeners *listeners)
{
    if (listeners->look != NULL) {
        event_free(listeners->look);
        listeners->look = NULL;
    }
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct listeners *listeners = arg;
    char error[256];
    bool patient = listeners->parts.succeeds || ++listeners->looks < LOOKS_MOST;
    if (patient && !store_works(listeners->parts.app->store)) {
        return;
    }
    stop_waiting(listeners);
    bool open = (!listeners->parts.succeeds || open_admin(listeners, error, sizeof(error)) == 0) &&
                open_all(listeners, error, sizeof(error)) == 0;
    if (open) {
        health_hold(listeners->parts.health, false);
    } else {
        log_error("cannot start", LOG_TEXT_FIELD("error", error));
        listeners->failed = true;
        loop_stop(listeners->parts.app->loop);
    }
}

static void wait_for_store(struct listeners *listeners)
{
    listeners->look = event_new(loop_base(net_loop(listeners->parts.app->net)), -1, EV_PERSIST,
                                on_look, listeners);
    timer_after(listeners->look, LISTENERS_LOOK_MS);
    health_hold(listeners->parts.health, true);
}

/* ------------------------------------------------------------------------------------ life */

struct listeners *listeners_new(const struct listeners_parts *parts, char *error, size_t error_size)
{
    struct listeners *listeners = mem_zalloc(sizeof(*listeners));
    listeners->parts = *parts;
    bool waits = parts->app->worker || parts->succeeds;
    bool open = (parts->succeeds || open_admin(listeners, error, error_size) == 0) &&
                (waits || open_all(listeners, error, error_size) == 0);
    if (!open) {
        listeners_free(&listeners);
        return NULL;
    }
    if (waits) {
        wait_for_store(listeners);
    }
    return listeners;
}

bool listeners_failed(const struct listeners *listeners)
{
    return listeners != NULL && listeners->failed;
}

void listeners_retire(struct listeners *listeners)
{
    if (listeners != NULL) {
        stop_waiting(listeners);
        listener_retire(&listeners->http);
        relay_drain(listeners->parts.relay);
        logs_drain(listeners->parts.logs);
    }
}

void listeners_free(struct listeners **listeners)
{
    struct listeners *gone = *listeners;
    if (gone == NULL) {
        return;
    }
    *listeners = NULL;
    stop_waiting(gone);
    listener_close(&gone->http);
    listener_close(&gone->admin);
    tracker_free(&gone->tracker);
    free(gone);
}
