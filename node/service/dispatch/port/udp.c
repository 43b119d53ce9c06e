/* SPDX-License-Identifier: MIT */
/* Datagrams: no connection, no order, no promise but one: a datagram comes through whole or not at
 * all. What a driver or the way to its node has no room for is dropped and counted.
 *
 * An answer goes out on the node through which the device spoke last: behind a load balancer only
 * that one's way back is open. Workers at one place have the same port: any of them will do. */
#include "node/service/dispatch/port/udp.h"
#include "node/core/name.h"
#include "node/service/dispatch/mesh/mesh.h"
#include "node/service/dispatch/port/port.h"

#include <assert.h>
#include <stddef.h>

enum { MOST_HOMES = 4096 /* devices remembered per port */ };

struct home {
    struct map_node map_node; /* by the device's address */
    struct list entry;        /* the longest silent first */
    struct address device;
    struct address here; /* at which it spoke */
    char *name;          /* of the node; empty: this one */
};

struct udp_homes {
    struct map map;
    struct list order;
};

/* ------------------------------------------------------------------------------------ homes */

static struct span address_key(const struct address *address)
{
    static_assert(offsetof(struct address, port) == sizeof(address->ip), "both are one key");
    return span_of(address, sizeof(address->ip) + sizeof(address->port));
}

static struct home *find_home(const struct dispatch_port *port, const struct address *device)
{
    struct map_node *node =
        port->homes != NULL ? map_find(&port->homes->map, address_key(device)) : NULL;
    return node != NULL ? MAP_ENTRY(node, struct home, map_node) : NULL;
}

static void home_free(struct udp_homes *homes, struct home *home)
{
    map_remove(&homes->map, &home->map_node);
    list_del(&home->entry);
    free(home->name);
    free(home);
}

/* The device spoke through the node of that name; empty: this one, at `path->here`. */
static void remember(struct dispatch_port *port, const struct udp_path *path, struct span name)
{
    const struct address *device = &path->peer;
    struct home *home = find_home(port, device);
    if (home != NULL && span_eq(span_str(home->name), name)) {
        home->here = path->here;
        list_del(&home->entry);
        list_push_back(&port->homes->order, &home->entry);
        return;
    }
    if (home != NULL) {
        home_free(port->homes, home);
    }
    if (port->homes == NULL) {
        port->homes = mem_zalloc(sizeof(*port->homes));
        map_init(&port->homes->map);
        list_init(&port->homes->order);
    } else if (port->homes->map.count >= MOST_HOMES) {
        home_free(port->homes, LIST_ITEM(port->homes->order.next, struct home, entry));
    }
    home = mem_zalloc(sizeof(*home));
    home->device = *device;
    home->here = path->here;
    home->name = mem_dup(name);
    list_push_back(&port->homes->order, &home->entry);
    map_insert(&port->homes->map, &home->map_node, address_key(&home->device));
}

void dispatch_udp_homes_free(struct udp_homes **homes)
{
    if (*homes == NULL) {
        return;
    }
    while (!list_empty(&(*homes)->order)) {
        home_free(*homes, LIST_ITEM((*homes)->order.next, struct home, entry));
    }
    map_deinit(&(*homes)->map);
    free(*homes);
    *homes = NULL;
}

/* ------------------------------------------------------------------------------------ in */

static void drop(const struct dispatch_port *port)
{
    metrics_add(metrics_of(port->dispatch), METRIC_DISPATCH_DROPPED, 1);
}

static void deliver(struct dispatch_port *port, const struct address *peer, struct span bytes)
{
    char ip[ADDRESS_TEXT], head[DISPATCH_HEAD_MOST];
    struct chunk *chunk = NULL;
    LIST_EACH(it, &port->drivers) {
        struct dispatch_driver *driver = LIST_ITEM(it, struct dispatch_driver, entry);
        if (driver->state != DRIVER_OPEN || !cidr_list_has(&driver->accept, peer)) {
            continue;
        }
        if (dispatch_driver_is_full(driver)) {
            drop(port);
            continue;
        }
        if (chunk == NULL) {
            struct dispatch_frame frame = {DISPATCH_RECEIVED, span_str(address_ip_text(peer, ip)),
                                           peer->port, bytes};
            size_t len = dispatch_frame_head(&frame, head);
            chunk = ws_frame_parts(WS_BINARY, span_of(head, len), bytes);
        }
        dispatch_driver_send(driver, chunk);
    }
    chunk_unref(chunk);
}

static void send_to_nodes(struct dispatch_port *port, const struct udp_path *path,
                          struct span bytes)
{
    struct mesh_message frame = {.type = MESH_DATAGRAM,
                                 .port = port->number,
                                 .peer = path->peer,
                                 .here = path->here,
                                 .bytes = bytes};
    uint64_t mark = ++port->dispatch->datagrams;
    MAP_EACH(it, &port->remote) {
        const struct remote_driver *driver = MAP_ENTRY(it, struct remote_driver, node);
        struct mesh_node *node = dispatch_mesh_node_ready(port->dispatch->mesh, driver->home);
        if (!cidr_list_has(&driver->accept, &path->peer) ||
            (node != NULL && !dispatch_mesh_node_mark(node, mark))) {
            continue; /* or that node has it for another of its drivers */
        }
        if (node == NULL || dispatch_mesh_node_is_congested(node)) {
            drop(port);
        } else {
            dispatch_mesh_node_send(node, &frame);
        }
    }
}

void dispatch_udp_on_datagram(void *arg, const struct udp_path *path, struct span bytes)
{
    struct dispatch_port *port = arg;
    metrics_add(metrics_of(port->dispatch), METRIC_DISPATCH_BYTES_IN, bytes.len);
    remember(port, path, SPAN(""));
    deliver(port, &path->peer, bytes);
    send_to_nodes(port, path, bytes);
}

void dispatch_udp_on_remote(struct dispatch *dispatch, struct span node,
                            const struct mesh_message *frame)
{
    struct dispatch_port *port = dispatch_port_find(dispatch, true, frame->port);
    if (port != NULL && dispatch_port_accepts_here(port, &frame->peer)) {
        remember(port, &(struct udp_path){frame->peer, frame->here}, node);
        deliver(port, &frame->peer, frame->bytes);
    }
}

/* ------------------------------------------------------------------------------------ out */

static void send_here(struct dispatch_port *port, const struct address *address, struct span bytes)
{
    if (port->udp == NULL) {
        drop(port);
        return;
    }
    const struct home *home = find_home(port, address);
    struct udp_path path = {.peer = *address};
    if (home != NULL) {
        path.here = home->here;
    }
    struct chunk *chunk = chunk_copy(bytes);
    if (udp_send(port->udp, &path, chunk) == 0) {
        metrics_add(metrics_of(port->dispatch), METRIC_DISPATCH_BYTES_OUT, bytes.len);
    } else {
        drop(port);
    }
    chunk_unref(chunk);
}

void dispatch_udp_on_send(struct dispatch *dispatch, const struct mesh_message *frame)
{
    struct dispatch_port *port = dispatch_port_find(dispatch, true, frame->port);
    if (port != NULL) {
        send_here(port, &frame->peer, frame->bytes);
    }
}

/* The node that the answer to a device leaves through; NULL: this one. */
static struct mesh_node *way_back(const struct dispatch_port *port, const struct address *device)
{
    const struct home *home = find_home(port, device);
    struct span own = span_str(port->dispatch->options.node);
    if (home == NULL || home->name[0] == '\0' ||
        (port->udp != NULL && name_same_place(span_str(home->name), own))) {
        return NULL;
    }
    return dispatch_mesh_node_ready(port->dispatch->mesh, span_str(home->name));
}

int dispatch_udp_write(struct dispatch_driver *driver, const struct dispatch_frame *frame)
{
    struct dispatch_port *port = driver->port;
    struct address address;
    if (address_parse_ip(frame->ip, &address) != 0 || frame->id_or_port == 0 ||
        frame->id_or_port > UINT16_MAX) {
        return -1;
    }
    address.port = (uint16_t)frame->id_or_port;
    struct mesh_node *node = way_back(port, &address);
    if (node == NULL || frame->data.len > UDP_LARGEST) {
        send_here(port, &address, frame->data);
    } else if (dispatch_mesh_node_is_congested(node)) {
        drop(port);
    } else {
        dispatch_mesh_node_send(node, &(struct mesh_message){.type = MESH_SEND,
                                                             .port = port->number,
                                                             .peer = address,
                                                             .bytes = frame->data});
    }
    return 0;
}
