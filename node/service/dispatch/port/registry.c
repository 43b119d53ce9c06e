/* SPDX-License-Identifier: MIT */
/* A port: which drivers in the cluster want it, and its sockets on this node.
 *
 *     roster "dispatch:ports"         "tcp:6001 <node>"    a node that has a driver on it
 *     roster "dispatch:tcp:6001"      "d <node> <n>"       a driver -> what it accepts
 *                                     "n <node>"           "<devices> <1: could not be bound>"
 *
 * Every node watches the first, and the second of every port in it. A node binds a port while any
 * driver has registered it; where that fails it is tried again, and the others are told. */
#include "node/core/log.h"
#include "node/service/dispatch/device/device.h"
#include "node/service/dispatch/mesh/mesh.h"
#include "node/service/dispatch/port/count.h"
#include "node/service/dispatch/port/port.h"
#include "node/service/dispatch/port/udp.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    DISPATCH_PORT_RETRY_MS = 2 * 1000,
    KEEPALIVE_IDLE_S = 10,
    KEEPALIVE_INTERVAL_S = 5,
    KEEPALIVE_PROBES = 3,
};

#define INDEX_KEY SPAN("dispatch:ports")

static struct store *store_of(const struct dispatch_port *port)
{
    return port->dispatch->options.store;
}

void dispatch_port_own_member(const struct dispatch_port *port, const char *before, struct buf *out)
{
    buf_printf(out, "%s %s", before, port->dispatch->options.node);
}

/* ------------------------------------------------------------------------------------ sockets */

static bool is_bound(const struct dispatch_port *port)
{
    return port->listener != NULL || port->udp != NULL;
}

static void set_unbound(struct dispatch_port *port, bool unbound, const char *why)
{
    if (port->unbound == unbound) {
        return;
    }
    dispatch_port_set_unbound(port, unbound);
    if (unbound) {
        log_warn("port cannot be opened here", LOG_TEXT_FIELD("port", port->name),
                 LOG_TEXT_FIELD("error", why));
    }
}

int dispatch_port_open(struct dispatch_port *port, char *error, size_t error_size)
{
    const struct dispatch_options *options = &port->dispatch->options;
    char bind[ADDRESS_TEXT + 8];
    if (is_bound(port)) {
        return 0;
    }
    snprintf(bind, sizeof(bind), strchr(options->bind, ':') != NULL ? "[%.60s]:%u" : "%.60s:%u",
             options->bind, port->number);
    if (port->is_udp) {
        port->udp = udp_open(options->net, bind, dispatch_udp_on_datagram, port, error, error_size);
    } else {
        port->listener =
            listener_open(options->net, bind, dispatch_here_accept, port, error, error_size);
    }
    if (port->listener != NULL) {
        listener_set_keepalive(port->listener, KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S,
                               KEEPALIVE_PROBES);
    }
    bool bound = is_bound(port);
    set_unbound(port, !bound, error);
    if (bound) {
        log_info("port opened", LOG_TEXT_FIELD("port", port->name));
    } else {
        wheel_set(net_wheel(options->net), &port->retry, DISPATCH_PORT_RETRY_MS);
    }
    return bound ? 0 : -1;
}

static void port_close(struct dispatch_port *port)
{
    if (is_bound(port)) {
        log_info("port closed", LOG_TEXT_FIELD("port", port->name));
    }
    wheel_cancel(&port->retry);
    if (port->dispatch->draining) {
        listener_retire(&port->listener);
        udp_close(&port->udp);
    } else { /* its drivers may be on their way to this node */
        listener_park(&port->listener);
        udp_park(&port->udp);
    }
    dispatch_udp_homes_free(&port->homes);
    set_unbound(port, false, NULL);
}

static void on_retry(struct wheel_timer *timer)
{
    dispatch_port_touch(CONTAINER_OF(timer, struct dispatch_port, retry));
}

/* ------------------------------------------------------------------------------------ drivers */

static struct remote_driver *find_remote(const struct dispatch_port *port, struct span member)
{
    struct map_node *node = map_find(&port->remote, member);
    return node != NULL ? MAP_ENTRY(node, struct remote_driver, node) : NULL;
}

static void remote_free(struct dispatch_port *port, struct remote_driver *driver)
{
    map_remove(&port->remote, &driver->node);
    cidr_list_free(&driver->accept);
    free(driver);
}

/* Its node gets the devices here that it accepts. */
static void meet(struct dispatch_port *port, const struct remote_driver *driver)
{
    LIST_EACH(it, &port->devices) {
        struct dispatch_device *device = LIST_ITEM(it, struct dispatch_device, entry);
        if (device_is_here(device)) {
            dispatch_here_offer(device, driver);
        }
    }
}

static void on_remote_driver(struct dispatch_port *port, const struct roster_member *member,
                             bool gone)
{
    struct remote_driver *driver = find_remote(port, member->name);
    struct span home = member->name, wrong;
    if (!span_eq(span_cut(&home, ' '), SPAN("d"))) {
        return;
    }
    home = span_cut(&home, ' ');
    if (driver != NULL) {
        remote_free(port, driver);
    }
    if (gone || span_eq(home, span_str(port->dispatch->options.node))) {
        return;
    }
    driver = mem_zalloc(sizeof(*driver) + member->name.len);
    memcpy(driver->member, member->name.ptr, member->name.len);
    driver->home = span_of(driver->member + (home.ptr - member->name.ptr), home.len);
    if (cidr_list_parse(member->value, &driver->accept, &wrong) != 0) {
        log_warn("a driver of another node accepts what is no address",
                 LOG_SPAN_FIELD("driver", member->name));
    }
    map_insert(&port->remote, &driver->node, span_of(driver->member, member->name.len));
    meet(port, driver);
}

static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct dispatch_port *port = arg;
    switch (event) {
    case ROSTER_SET:
    case ROSTER_GONE:
        on_remote_driver(port, member, event == ROSTER_GONE);
        break;
    case ROSTER_CHANGED:
    case ROSTER_CURRENT:
        dispatch_port_touch(port);
        dispatch_drivers_touch(port->dispatch);
        break;
    case ROSTER_STALE:
        break;
    }
}

bool dispatch_port_accepts_here(struct dispatch_port *port, const struct address *address)
{
    LIST_EACH(it, &port->drivers) {
        if (cidr_list_has(&LIST_ITEM(it, struct dispatch_driver, entry)->accept, address)) {
            return true;
        }
    }
    return false;
}

void dispatch_ports_meet(struct dispatch *dispatch, struct mesh_node *node)
{
    MAP_EACH(it, &dispatch->ports) {
        struct dispatch_port *port = MAP_ENTRY(it, struct dispatch_port, node);
        MAP_EACH(remote, &port->remote) {
            struct remote_driver *driver = MAP_ENTRY(remote, struct remote_driver, node);
            if (span_eq(driver->home, dispatch_mesh_node_name(node))) {
                meet(port, driver);
            }
        }
    }
}

void dispatch_port_claim(struct dispatch_port *port, struct span member, struct span accept)
{
    struct buf index = {0};
    dispatch_port_own_member(port, port->name, &index);
    roster_claim(store_of(port), buf_span(&port->key), member, accept);
    roster_claim(store_of(port), INDEX_KEY, buf_span(&index), SPAN("1"));
    buf_free(&index);
}

void dispatch_port_release(struct dispatch_port *port, struct span member)
{
    roster_release(store_of(port), buf_span(&port->key), member);
    if (list_empty(&port->drivers)) {
        struct buf index = {0};
        dispatch_port_own_member(port, port->name, &index);
        roster_release(store_of(port), INDEX_KEY, buf_span(&index));
        buf_free(&index);
    }
}

bool dispatch_port_knows(const struct dispatch_port *port, struct span member)
{
    struct buf index = {0};
    struct span value;
    dispatch_port_own_member(port, port->name, &index);
    bool known = roster_find(port->watch, member, &value) &&
                 roster_find(port->dispatch->index, buf_span(&index), &value);
    buf_free(&index);
    return known;
}

/* ------------------------------------------------------------------------------------ life */

static void port_name(char out[static 12], bool is_udp, uint16_t number)
{
    snprintf(out, 12, "%s:%u", is_udp ? "udp" : "tcp", number);
}

struct dispatch_port *dispatch_port_find(struct dispatch *dispatch, bool is_udp, uint16_t number)
{
    char name[12];
    port_name(name, is_udp, number);
    struct map_node *node = map_find(&dispatch->ports, span_str(name));
    return node != NULL ? MAP_ENTRY(node, struct dispatch_port, node) : NULL;
}

struct dispatch_port *dispatch_port_get(struct dispatch *dispatch, bool is_udp, uint16_t number)
{
    struct dispatch_port *port = dispatch_port_find(dispatch, is_udp, number);
    if (port != NULL) {
        return port;
    }
    port = mem_zalloc(sizeof(*port));
    port_name(port->name, is_udp, number);
    port->dispatch = dispatch;
    port->number = number;
    port->is_udp = is_udp;
    buf_printf(&port->key, "dispatch:%s", port->name);
    map_init(&port->remote);
    list_init(&port->drivers);
    list_init(&port->devices);
    list_init(&port->unsettled);
    dispatch_port_begin_counts(port);
    wheel_timer_init(&port->retry, on_retry);
    map_insert(&dispatch->ports, &port->node, span_str(port->name));
    port->watch = roster_watch(store_of(port), buf_span(&port->key), on_roster, port);
    dispatch_port_touch(port);
    return port;
}

static void port_free(struct dispatch_port *port)
{
    port_close(port);
    if (!list_empty(&port->uncounted) || port->counting) {
        dispatch_port_tell_count(port); /* that there is nothing */
    }
    roster_unwatch(&port->watch);
    MAP_EACH(it, &port->remote) {
        remote_free(port, MAP_ENTRY(it, struct remote_driver, node));
    }
    map_deinit(&port->remote);
    dispatch_port_end_counts(port);
    list_del(&port->unsettled);
    map_remove(&port->dispatch->ports, &port->node);
    buf_free(&port->key);
    free(port);
}

void dispatch_port_touch(struct dispatch_port *port)
{
    if (list_empty(&port->unsettled)) {
        list_push_back(&port->dispatch->unsettled, &port->unsettled);
        net_work_queue(port->dispatch->options.net, &port->dispatch->settling);
    }
}

void dispatch_ports_touch_closed(struct dispatch *dispatch)
{
    MAP_EACH(it, &dispatch->ports) {
        struct dispatch_port *port = MAP_ENTRY(it, struct dispatch_port, node);
        if (!is_bound(port)) {
            dispatch_port_touch(port);
        }
    }
}

/* Is there a driver that a device could be given to? This node has just come when it knows of
 * drivers, but has no way to their nodes yet. */
static bool has_reachable_driver(const struct dispatch_port *port)
{
    MAP_EACH(it, &port->remote) {
        const struct remote_driver *driver = MAP_ENTRY(it, struct remote_driver, node);
        if (dispatch_mesh_node_ready(port->dispatch->mesh, driver->home) != NULL) {
            return true;
        }
    }
    return !list_empty(&port->drivers);
}

/* Binds and unbinds it, and forgets it where it is of no use. */
static void settle(struct dispatch_port *port)
{
    bool wanted = !list_empty(&port->drivers) || port->remote.count > 0;
    char error[160];
    if (wanted && port->dispatch->draining && net_is_handed_over(port->dispatch->options.net)) {
        /* The successor hears devices from here on; what drivers that are still here answer to
         * datagrams leaves by the socket that both have. */
        listener_retire(&port->listener);
    } else if (!wanted || port->dispatch->draining) {
        port_close(port);
    } else if (!is_bound(port) && !has_reachable_driver(port)) {
        log_debug("port waits for the way to its drivers", LOG_TEXT_FIELD("port", port->name));
    } else if (dispatch_port_open(port, error, sizeof(error)) != 0) {
        log_debug("port still cannot be opened", LOG_TEXT_FIELD("port", port->name));
    }
    if (!wanted && !port->listed && list_empty(&port->devices) && port->sockets == 0) {
        port_free(port);
    }
}

/* A net_work: a node that comes opens all ports that there are. */
static bool settle_next(struct net_work *work)
{
    struct dispatch *dispatch = CONTAINER_OF(work, struct dispatch, settling);
    if (!list_empty(&dispatch->unsettled)) {
        struct dispatch_port *port =
            LIST_ITEM(dispatch->unsettled.next, struct dispatch_port, unsettled);
        list_del(&port->unsettled);
        settle(port);
    }
    return !list_empty(&dispatch->unsettled);
}

/* ------------------------------------------------------------------------------------ index */

static struct dispatch_port *port_of_member(struct dispatch *dispatch, struct span member,
                                            bool make)
{
    struct span proto = span_cut(&member, ':'), number = span_cut(&member, ' ');
    bool is_udp = span_eq(proto, SPAN("udp"));
    unsigned port = dispatch_port_number(number);
    if ((!is_udp && !span_eq(proto, SPAN("tcp"))) || port == 0) {
        return NULL;
    }
    return make ? dispatch_port_get(dispatch, is_udp, (uint16_t)port)
                : dispatch_port_find(dispatch, is_udp, (uint16_t)port);
}

static void mark_listed(void *arg, const struct roster_member *member)
{
    struct dispatch_port *port = port_of_member(arg, member->name, false);
    if (port != NULL) {
        port->listed = true;
    }
}

static void sweep(struct dispatch *dispatch)
{
    MAP_EACH(it, &dispatch->ports) {
        MAP_ENTRY(it, struct dispatch_port, node)->listed = false;
    }
    roster_each(dispatch->index, mark_listed, dispatch);
    MAP_EACH(it, &dispatch->ports) {
        struct dispatch_port *port = MAP_ENTRY(it, struct dispatch_port, node);
        if (!port->listed) {
            dispatch_port_touch(port);
        }
    }
}

static void on_index(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct dispatch *dispatch = arg;
    struct dispatch_port *port;
    switch (event) {
    case ROSTER_SET:
        port = port_of_member(dispatch, member->name, true);
        if (port != NULL) {
            port->listed = true;
        }
        break;
    case ROSTER_GONE:
        dispatch->index_shrunk = true;
        break;
    case ROSTER_CHANGED:
    case ROSTER_CURRENT:
        if (dispatch->index_shrunk) {
            dispatch->index_shrunk = false;
            sweep(dispatch);
        }
        dispatch_drivers_touch(dispatch);
        break;
    case ROSTER_STALE:
        break;
    }
}

void dispatch_ports_init(struct dispatch *dispatch)
{
    map_init(&dispatch->ports);
    list_init(&dispatch->unsettled);
    net_work_init(&dispatch->settling, settle_next);
    dispatch_counts_init(dispatch);
    dispatch->index = roster_watch(dispatch->options.store, INDEX_KEY, on_index, dispatch);
}

void dispatch_ports_close_all(struct dispatch *dispatch)
{
    MAP_EACH(it, &dispatch->ports) {
        port_close(MAP_ENTRY(it, struct dispatch_port, node));
    }
}

void dispatch_ports_deinit(struct dispatch *dispatch)
{
    roster_unwatch(&dispatch->index);
    MAP_EACH(it, &dispatch->ports) {
        port_free(MAP_ENTRY(it, struct dispatch_port, node));
    }
    net_work_cancel(&dispatch->settling);
    dispatch_counts_deinit(dispatch);
    map_deinit(&dispatch->ports);
}
