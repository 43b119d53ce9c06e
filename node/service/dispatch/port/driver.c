/* SPDX-License-Identifier: MIT */
/* A driver: a WebSocket client that has registered a port.
 *
 *     REGISTERING --the cluster knows it: 101--> OPEN --its socket is closed--> ENDED
 *          \______________ no port, no store: an error is answered ____________/       */
#include "node/core/log.h"
#include "node/service/dispatch/device/device.h"
#include "node/service/dispatch/mesh/mesh.h"
#include "node/service/dispatch/port/count.h"
#include "node/service/dispatch/port/port.h"
#include "node/service/dispatch/port/udp.h"
#include "store/base/check.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    DISPATCH_DRIVER_PATIENCE_MS = 5 * 1000, /* for the cluster to learn of it */
    DRIVER_QUEUE = 256 * 1024 * 1024,       /* beyond what back-pressure lets in: only a fault */
    RELIEVED_PER_TURN = 16,                 /* devices that a driver lets go on at once */
    MODULE_ID_MOST = 64,                    /* bytes of it in the log */
};

static struct dispatch *dispatch_of(const struct dispatch_driver *driver)
{
    return driver->port->dispatch;
}

/* ------------------------------------------------------------------------------------ life */

static void driver_end(struct dispatch_driver *driver)
{
    struct dispatch_port *port = driver->port;
    bool was_open = driver->state == DRIVER_OPEN;
    CHECK(driver->state != DRIVER_ENDED);
    driver->state = DRIVER_ENDED;
    dispatch_port_count_driver(port, was_open ? -1 : 0);
    list_del(&driver->entry);
    list_del(&driver->registering);
    list_del(&driver->full);
    wheel_cancel(&driver->patience);
    dispatch_port_release(port, span_str(driver->member));
    while (!list_empty(&driver->flowing)) {
        dispatch_device_detach(LIST_ITEM(driver->flowing.next, struct attachment, of_driver));
    }
    while (!list_empty(&driver->holding)) {
        dispatch_device_detach(LIST_ITEM(driver->holding.next, struct attachment, of_driver));
    }
    LIST_EACH(it, &port->devices) {
        dispatch_device_abandoned(
            LIST_ITEM(it, struct dispatch_device, entry)); /* what waited for it alone */
    }
    if (was_open) {
        log_info("driver gone", LOG_TEXT_FIELD("port", port->name),
                 LOG_TEXT_FIELD("driver", driver->member));
    }
    dispatch_port_touch(port);
    cidr_list_free(&driver->accept);
    free(driver->member);
    free(driver);
}

static void refuse(struct dispatch_driver *driver, int status, const char *text)
{
    struct http_request *request = driver->request;
    driver->request = NULL;
    driver_end(driver);
    http_reply_error(request, status, "%s", text);
}

/* Devices that it holds back wait for it, and so do their other drivers: not for ever. */
static void watch_fullness(struct dispatch_driver *driver)
{
    const struct dispatch_options *options = &dispatch_of(driver)->options;
    driver->taken = conn_taken(ws_conn(driver->ws), driver->sent);
    wheel_set(net_wheel(options->net), &driver->patience, options->stall_ms);
}

static void on_patience_over(struct wheel_timer *timer)
{
    struct dispatch_driver *driver = CONTAINER_OF(timer, struct dispatch_driver, patience);
    if (driver->state == DRIVER_REGISTERING) {
        refuse(driver, 503, "the port could not be registered with the other nodes in time");
    } else if (!conn_takes(ws_conn(driver->ws), driver->sent, &driver->taken)) {
        ws_overflow(driver->ws);
    } else {
        watch_fullness(driver);
    }
}

void dispatch_driver_register(struct dispatch_port *port, struct http_request *request,
                              struct cidr_list accept, struct span text)
{
    struct dispatch *dispatch = port->dispatch;
    struct dispatch_driver *driver = mem_zalloc(sizeof(*driver));
    char member[128], error[160];
    int len = snprintf(member, sizeof(member), "d %.64s %" PRIu64, dispatch->options.node,
                       ++dispatch->drivers_ever);
    driver->port = port;
    driver->request = request;
    driver->accept = accept;
    driver->member = mem_dup(span_of(member, (size_t)len));
    wheel_timer_init(&driver->patience, on_patience_over);
    list_init(&driver->flowing);
    list_init(&driver->holding);
    list_init(&driver->full);
    list_push_back(&port->drivers, &driver->entry);
    list_push_back(&dispatch->registering, &driver->registering);
    if (dispatch_port_open(port, error, sizeof(error)) != 0) {
        refuse(driver, 409, error);
        return;
    }
    dispatch_port_claim(port, span_str(driver->member), text);
    wheel_set(net_wheel(dispatch->options.net), &driver->patience, DISPATCH_DRIVER_PATIENCE_MS);
}

void dispatch_drivers_refuse(struct dispatch *dispatch)
{
    while (!list_empty(&dispatch->registering)) {
        refuse(LIST_ITEM(dispatch->registering.next, struct dispatch_driver, registering), 503,
               "the server is going away");
    }
}

/* ------------------------------------------------------------------------------------ messages */

/* Its own attachment to the device of that id, or NULL: gone meanwhile, or never its. */
static struct attachment *find_attachment(struct dispatch_driver *driver, uint64_t id)
{
    struct dispatch_device *device = dispatch_device_find(dispatch_of(driver), id);
    if (device == NULL) {
        return NULL;
    }
    LIST_EACH(it, &device->attachments) {
        struct attachment *attachment = LIST_ITEM(it, struct attachment, of_device);
        if (attachment->driver == driver) {
            return attachment;
        }
    }
    return NULL;
}

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    struct dispatch_driver *driver = arg;
    struct dispatch_frame frame;
    if (kind != WS_BINARY) {
        ws_close(driver->ws, WS_PROTOCOL_ERROR, "frames are binary messages");
        return;
    }
    int fault = dispatch_frame_read(payload, &frame);
    if (fault == DISPATCH_UNKNOWN_TYPE) {
        ws_close(driver->ws, WS_PROTOCOL_ERROR, "no such frame type");
    } else if (fault != 0) {
        ws_close(driver->ws, WS_INVALID_DATA, "malformed frame");
    } else if (frame.type != DISPATCH_WRITE && frame.type != DISPATCH_CLOSE) {
        ws_close(driver->ws, WS_PROTOCOL_ERROR, "a driver sends WRITE and CLOSE only");
    } else if (!driver->port->is_udp) {
        struct attachment *attachment = find_attachment(driver, frame.id_or_port);
        if (attachment != NULL && frame.type == DISPATCH_WRITE) {
            dispatch_device_write(attachment, frame.data);
        } else if (attachment != NULL) {
            dispatch_device_shut(attachment->device);
        }
    } else if (frame.type == DISPATCH_WRITE && dispatch_udp_write(driver, &frame) != 0) {
        ws_close(driver->ws, WS_INVALID_DATA, "no such IP address or port");
    }
}

static void on_closed(void *arg)
{
    driver_end(arg);
}

/* ------------------------------------------------------------------------------------ opening */

/* The module for which a driver of today's platform asks, as it names it; new. */
static struct buf module_of(const struct http_request *request)
{
    struct buf name = {0};
    struct span id = http_header(request, "x-module-id");
    buf_append(&name, span_of(id.ptr, id.len < MODULE_ID_MOST ? id.len : MODULE_ID_MOST));
    if (name.len == 0) {
        buf_append(&name, SPAN("-"));
    }
    return name;
}

static void open_driver(struct dispatch_driver *driver)
{
    static const struct ws_handler handler = {.message = on_message, .closed = on_closed};
    struct dispatch_port *port = driver->port;
    struct http_request *request = driver->request;
    list_del(&driver->registering);
    wheel_cancel(&driver->patience);
    driver->request = NULL;
    CHECK(driver->state == DRIVER_REGISTERING);
    struct buf module = module_of(request);
    driver->ws = ws_accept(request, &handler, driver);
    if (driver->ws == NULL) {
        buf_free(&module);
        driver_end(driver);
        return;
    }
    driver->state = DRIVER_OPEN;
    dispatch_port_count_driver(port, 1);
    conn_set_queue_limit(ws_conn(driver->ws), DRIVER_QUEUE);
    conn_set_member(ws_conn(driver->ws));
    log_info("driver registered", LOG_TEXT_FIELD("port", port->name),
             LOG_TEXT_FIELD("driver", driver->member), LOG_SPAN_FIELD("module", buf_span(&module)));
    buf_free(&module);
    LIST_EACH(it, &port->devices) {
        struct dispatch_device *device = LIST_ITEM(it, struct dispatch_device, entry);
        if (cidr_list_has(&driver->accept, &device->peer)) {
            dispatch_device_attach(device, driver);
        }
    }
}

/* It has its port in the cluster: every node that there is can be spoken to, hears this one, and
 * the rosters show the driver. */
static bool may_open(const struct dispatch_driver *driver)
{
    return dispatch_mesh_is_ready(dispatch_of(driver)->mesh) &&
           dispatch_port_knows(driver->port, span_str(driver->member));
}

void dispatch_drivers_touch(struct dispatch *dispatch)
{
    dispatch->drivers_touched = true;
    loop_again(net_loop(dispatch->options.net));
}

void dispatch_drivers_settle(struct dispatch *dispatch)
{
    if (!dispatch->drivers_touched) {
        return;
    }
    dispatch->drivers_touched = false;
    LIST_EACH(it, &dispatch->registering) {
        struct dispatch_driver *driver = LIST_ITEM(it, struct dispatch_driver, registering);
        if (may_open(driver)) {
            open_driver(driver);
        }
    }
}

/* ------------------------------------------------------------------------------------ fullness */

void dispatch_driver_is_holding(struct dispatch_driver *driver)
{
    if (list_empty(&driver->full)) {
        list_push_back(&dispatch_of(driver)->full, &driver->full);
        watch_fullness(driver);
    }
}

bool dispatch_driver_is_full(const struct dispatch_driver *driver)
{
    return driver->ws != NULL && conn_queued(ws_conn(driver->ws)) >= DRIVER_FULL;
}

void dispatch_driver_send(struct dispatch_driver *driver, struct chunk *chunk)
{
    if (driver->state != DRIVER_OPEN || !ws_is_open(driver->ws)) {
        return;
    }
    if (conn_send(ws_conn(driver->ws), chunk) != 0) {
        ws_overflow(driver->ws);
        return;
    }
    driver->sent += chunk->len;
    if (dispatch_driver_is_full(driver)) {
        while (!list_empty(&driver->flowing)) {
            dispatch_device_hold(LIST_ITEM(driver->flowing.next, struct attachment, of_driver),
                                 true);
        }
        dispatch_driver_is_holding(driver);
    }
}

void dispatch_drivers_relieve(struct dispatch *dispatch)
{
    LIST_EACH(it, &dispatch->full) {
        struct dispatch_driver *driver = LIST_ITEM(it, struct dispatch_driver, full);
        if (conn_queued(ws_conn(driver->ws)) <= DRIVER_EMPTY) {
            /* Resumes the devices held back longest first, a few at a time: what they send may fill
             * the driver again. */
            for (int i = 0; i < RELIEVED_PER_TURN && !list_empty(&driver->holding); i++) {
                dispatch_device_hold(LIST_ITEM(driver->holding.next, struct attachment, of_driver),
                                     false);
            }
            if (list_empty(&driver->holding)) {
                list_del(&driver->full);
                wheel_cancel(&driver->patience);
            } else {
                loop_again(net_loop(dispatch_of(driver)->options.net));
            }
        }
    }
}
