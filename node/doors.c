#include "node/doors.h"

#include "node/core/log.h"
#include "node/net/listener.h"
#include "node/service/tracker.h"
#include "store/base/mem.h"

#include <event2/event.h>
#include <stdlib.h>

enum {
    DOORS_LOOK_MS = 20,
    LOOKS_MOST = 250, /* five seconds: clients are told of an outage, too */
};

struct doors {
    struct doors_parts parts;
    struct listener *http, *admin;
    struct tracker *tracker; /* NULL: off */
    struct event *look;      /* NULL: does not wait */
    unsigned looks;
};

static void log_listening(const char *what, const struct address *address)
{
    char text[ADDRESS_TEXT];
    log_info("listening", LOG_TEXT_FIELD("for", what),
             LOG_TEXT_FIELD("address", address_text(address, text)));
}

/* ------------------------------------------------------------------------------------ each door */

/* Each worker has an admin port of its own, which nobody else may answer at. */
static int open_admin(struct doors *doors, char *error, size_t error_size)
{
    const struct doors_parts *parts = &doors->parts;
    if (parts->admin == parts->http) {
        return 0;
    }
    doors->admin = listener_open_alone(parts->net, parts->settings->admin, http_server_accept,
                                       parts->admin, error, error_size);
    if (doors->admin == NULL) {
        return -1;
    }
    log_listening("admin", listener_address(doors->admin));
    return 0;
}

static int open_http(struct doors *doors, char *error, size_t error_size)
{
    const struct doors_parts *parts = &doors->parts;
    doors->http = listener_open(parts->net, parts->settings->http, http_server_accept, parts->http,
                                error, error_size);
    if (doors->http == NULL) {
        return -1;
    }
    log_listening("http", listener_address(doors->http));
    return 0;
}

static int open_tracker(struct doors *doors, char *error, size_t error_size)
{
    const struct settings *settings = doors->parts.settings;
    if (settings->tracker[0] == '\0') {
        return 0;
    }
    doors->tracker = tracker_new(
        &(struct tracker_options){
            .net = doors->parts.net,
            .store = doors->parts.store,
            .node = doors->parts.node,
            .bind = settings->tracker,
            .dialect = settings->tracker_dialect == 1 ? TRACKER_SOBANI : TRACKER_DOCUMENTED,
            .expiry_ms = (uint32_t)settings->tracker_expiry,
            .rate = (uint32_t)settings->tracker_rate,
            .burst = (uint32_t)settings->tracker_burst,
        },
        error, error_size);
    if (doors->tracker == NULL) {
        return -1;
    }
    log_listening("tracker", tracker_address(doors->tracker));
    return 0;
}

/* Those that clients come in by. */
static int open_all(struct doors *doors, char *error, size_t error_size)
{
    bool open = relay_listen(doors->parts.relay, error, error_size) == 0 &&
                open_http(doors, error, error_size) == 0 &&
                open_tracker(doors, error, error_size) == 0;
    return open ? 0 : -1;
}

/* ------------------------------------------------------------------------------------ waiting */

static void stop_waiting(struct doors *doors)
{
    if (doors->look != NULL) {
        event_free(doors->look);
        doors->look = NULL;
    }
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct doors *doors = arg;
    char error[256];
    if (++doors->looks < LOOKS_MOST && !store_ready(doors->parts.store)) {
        return;
    }
    stop_waiting(doors);
    if (open_all(doors, error, sizeof(error)) == 0) {
        status_hold(doors->parts.status, false);
    } else {
        doors->parts.failed(doors->parts.arg, error);
    }
}

static void wait_for_store(struct doors *doors)
{
    struct timeval every = {.tv_usec = DOORS_LOOK_MS * 1000};
    doors->look = event_new(loop_base(net_loop(doors->parts.net)), -1, EV_PERSIST, on_look, doors);
    event_add(doors->look, &every);
    status_hold(doors->parts.status, true);
}

/* ------------------------------------------------------------------------------------ life */

struct doors *doors_new(const struct doors_parts *parts, char *error, size_t error_size)
{
    struct doors *doors = mem_zalloc(sizeof(*doors));
    doors->parts = *parts;
    if (open_admin(doors, error, error_size) != 0 ||
        (!parts->worker && open_all(doors, error, error_size) != 0)) {
        doors_free(&doors);
        return NULL;
    }
    if (parts->worker) {
        wait_for_store(doors);
    }
    return doors;
}

void doors_retire(struct doors *doors)
{
    if (doors != NULL) {
        stop_waiting(doors);
        listener_retire(&doors->http);
        relay_drain(doors->parts.relay);
    }
}

void doors_free(struct doors **doors)
{
    struct doors *gone = *doors;
    if (gone == NULL) {
        return;
    }
    *doors = NULL;
    stop_waiting(gone);
    listener_close(&gone->http);
    listener_close(&gone->admin);
    tracker_free(&gone->tracker);
    free(gone);
}
