/* SPDX-License-Identifier: MIT */
/* A TCP device whose socket is on this node.
 *
 *     accepted --(from a load balancer: PROXY header)--> address known
 *              --some driver accepts it--> begun --peer, driver, fault--> ended --> freed      */
#include "node/core/log.h"
#include "node/proto/proxy.h"
#include "node/service/dispatch/device/device.h"
#include "node/service/dispatch/mesh/mesh.h"
#include "node/service/dispatch/port/count.h"
#include "node/service/dispatch/port/port.h"

#include <unistd.h>

enum { PROXY_MS = 5 * 1000 /* for the header to come in */ };

/* ------------------------------------------------------------------------------------ data */

static bool is_nobodys(const struct dispatch_device *device)
{
    return list_empty(&device->attachments) && list_empty(&device->legs);
}

static size_t take_data(struct dispatch_device *device, struct span bytes)
{
    bytes.len = dispatch_flow_take(device, bytes.len);
    metrics_add(metrics_of(device->dispatch), METRIC_DISPATCH_BYTES_IN, bytes.len);
    LIST_EACH(it, &device->legs) {
        struct dispatch_leg *leg = LIST_ITEM(it, struct dispatch_leg, of_device);
        if (bytes.len > 0) {
            leg->credit -= (uint32_t)bytes.len + LEG_COST;
            dispatch_leg_send(leg, (struct mesh_message){.type = MESH_DATA, .bytes = bytes});
        }
    }
    dispatch_device_deliver(device, bytes);
    return bytes.len;
}

static enum device_written fullness(const struct dispatch_device *device)
{
    return conn_queued(device->conn) > WRITES_MOST ? WRITTEN_FULL : WRITTEN;
}

enum device_written dispatch_here_write(struct dispatch_device *device, struct span bytes)
{
    if (bytes.len == 0) {
        return fullness(device);
    }
    if (conn_queued(device->conn) == 0) {
        device->taken = conn_taken(device->conn, device->written);
        conn_set_timer(device->conn, device->dispatch->options.stall_ms);
    }
    struct chunk *chunk = chunk_copy(bytes);
    int sent = conn_send(device->conn, chunk);
    chunk_unref(chunk);
    if (sent != 0) {
        metrics_add(metrics_of(device->dispatch), METRIC_DISPATCH_STALLED, 1);
        dispatch_device_end(device, DEVICE_CUT);
        return WRITTEN_CUT;
    }
    device->written += bytes.len;
    metrics_add(metrics_of(device->dispatch), METRIC_DISPATCH_BYTES_OUT, bytes.len);
    return fullness(device);
}

/* ---------------------------------------------------------------------------------- other nodes */

static struct dispatch_leg *leg_to(struct dispatch_device *device, const struct mesh_node *node)
{
    LIST_EACH(it, &device->legs) {
        struct dispatch_leg *leg = LIST_ITEM(it, struct dispatch_leg, of_device);
        if (leg->node == node) {
            return leg;
        }
    }
    return NULL;
}

static void open_leg(struct dispatch_device *device, struct mesh_node *node)
{
    struct dispatch_leg *leg = dispatch_leg_new(
        device, node, dispatch_mesh_new_id(device->dispatch->mesh), dispatch_mesh_node_epoch(node));
    dispatch_leg_send(leg, (struct mesh_message){.type = MESH_OPEN,
                                                 .device = device->id,
                                                 .port = device->port->number,
                                                 .peer = device->peer});
    dispatch_flow_touch(device); /* not read before that node gives credit */
}

void dispatch_here_offer(struct dispatch_device *device, const struct remote_driver *driver)
{
    struct mesh_node *node = dispatch_mesh_node_ready(device->dispatch->mesh, driver->home);
    if (node == NULL || device->ended || !cidr_list_has(&driver->accept, &device->peer)) {
        return;
    }
    struct dispatch_leg *leg = leg_to(device, node);
    if (leg == NULL) {
        open_leg(device, node);
    } else {
        leg->again = true;
    }
}

/* The node has no driver for it any more; but one may have come that it did not know of then. */
static void on_leave(struct dispatch_leg *leg)
{
    struct dispatch_device *device = leg->device;
    struct mesh_node *node = leg->node;
    bool again = leg->again;
    dispatch_leg_free(leg);
    if (again &&
        dispatch_mesh_node_ready(device->dispatch->mesh, dispatch_mesh_node_name(node)) == node) {
        open_leg(device, node);
    } else {
        dispatch_flow_touch(device);
        dispatch_device_abandoned(device);
    }
}

void dispatch_here_on_frame(struct dispatch_leg *leg, const struct mesh_message *frame)
{
    struct dispatch_device *device = leg->device;
    switch (frame->type) {
    case MESH_CREDIT:
        leg->credit += frame->count;
        dispatch_flow_touch(device);
        break;
    case MESH_WRITE:
        leg->writes += (uint32_t)frame->bytes.len;
        (void)dispatch_here_write(device, frame->bytes); /* WROTE tells what it took */
        break;
    case MESH_SHUT:
        dispatch_device_end(device, DEVICE_SHUT);
        break;
    case MESH_LEAVE:
        on_leave(leg);
        break;
    default:
        dispatch_leg_cut(leg, "a node lost bytes of it");
        break;
    }
}

/* ----------------------------------------------------------------------------------- connection */

static void begin(struct dispatch_device *device, const struct address *peer)
{
    struct dispatch *dispatch = device->dispatch;
    device->begun = true;
    device->peer = *peer;
    device->id = dispatch_mesh_new_id(dispatch->mesh);
    dispatch_device_enter(device);
    dispatch_port_count(device->port, 1);
    MAP_EACH(it, &device->port->remote) {
        dispatch_here_offer(device, MAP_ENTRY(it, struct remote_driver, node));
    }
    LIST_EACH(it, &device->legs) {
        LIST_ITEM(it, struct dispatch_leg, of_device)->again = false; /* all of these it knows */
    }
    dispatch_device_attach_all(device);
    if (is_nobodys(device) && dispatch_port_accepts_here(device->port, peer)) {
        dispatch_flow_touch(device); /* its driver is still registering, which opened the port */
    } else if (is_nobodys(device)) {
        metrics_add(metrics_of(dispatch), METRIC_DISPATCH_REFUSED, 1);
        dispatch_device_end(device, DEVICE_REFUSED);
    }
}

static void drop_early(struct dispatch_device *device)
{
    if (device->early != NULL) {
        buf_free(device->early);
        free(device->early);
        device->early = NULL;
    }
}

/* Bytes before the device has begun are those of a header. What is behind it stays with the
 * connection until it may be taken. */
static size_t take_header(struct dispatch_device *device, struct span bytes)
{
    struct proxy proxy;
    size_t taken;
    if (device->early == NULL) {
        device->early = mem_zalloc(sizeof(*device->early));
    }
    int found = proxy_gather(device->early, bytes, &proxy, &taken);
    if (found == 0) {
        return bytes.len;
    }
    drop_early(device);
    if (found < 0) {
        log_debug("no PROXY header from a trusted address");
        dispatch_device_end(device, DEVICE_REFUSED);
        return bytes.len;
    }
    conn_set_timer(device->conn, 0);
    begin(device, proxy.known ? &proxy.source : conn_peer(device->conn));
    bytes = span_skip(bytes, taken);
    return device->ended ? taken + bytes.len : taken + take_data(device, bytes);
}

static size_t on_data(void *arg, struct span bytes)
{
    struct dispatch_device *device = arg;
    if (device->ended) {
        return bytes.len;
    }
    return device->begun ? take_data(device, bytes) : take_header(device, bytes);
}

static void on_drained(void *arg)
{
    struct dispatch_device *device = arg;
    if (device->ended || !device->begun) {
        return;
    }
    conn_set_timer(device->conn, 0);
    LIST_EACH(it, &device->legs) {
        struct dispatch_leg *leg = LIST_ITEM(it, struct dispatch_leg, of_device);
        if (leg->writes > 0) {
            dispatch_leg_send(leg, (struct mesh_message){.type = MESH_WROTE, .count = leg->writes});
            leg->writes = 0;
        }
    }
    dispatch_device_release_writers(device);
}

/* A slow one takes its time; one that takes next to nothing is given up. */
static void on_timer(void *arg)
{
    struct dispatch_device *device = arg;
    if (!device->begun) {
        dispatch_device_end(device, DEVICE_REFUSED); /* no PROXY header came */
    } else if (conn_takes(device->conn, device->written, &device->taken)) {
        conn_set_timer(device->conn, device->dispatch->options.stall_ms);
    } else {
        metrics_add(metrics_of(device->dispatch), METRIC_DISPATCH_STALLED, 1);
        dispatch_device_end(device, DEVICE_CUT);
    }
}

static void on_drain(void *arg)
{
    dispatch_device_end(arg, DEVICE_SHUT);
}

static void on_closed(void *arg, enum conn_end end)
{
    struct dispatch_device *device = arg;
    (void)end;
    dispatch_device_end(device, DEVICE_GONE);
    drop_early(device);
    device->port->sockets--;
    dispatch_port_touch(device->port);
    free(device);
}

/* Time for a device that is disconnected to take what was written. */
static uint32_t linger(const struct dispatch_device *device)
{
    const struct dispatch *dispatch = device->dispatch;
    bool waits = conn_queued(device->conn) > 0 && !dispatch->draining;
    return waits && dispatch->options.stall_ms > GONE_LINGER_MS ? dispatch->options.stall_ms
                                                                : GONE_LINGER_MS;
}

void dispatch_here_close(struct dispatch_device *device, enum device_end how)
{
    if (device->begun) {
        dispatch_port_count(device->port, -1);
    }
    if (how == DEVICE_SHUT) {
        conn_finish(device->conn, linger(device));
    } else if (how == DEVICE_REFUSED) {
        conn_close(device->conn);
    } else if (how == DEVICE_CUT) {
        conn_reset(device->conn);
    }
}

void dispatch_here_accept(void *arg, int fd, const struct address *peer)
{
    static const struct conn_handler handler = {.half_open = true,
                                                .hear_out = true,
                                                .data = on_data,
                                                .drained = on_drained,
                                                .timer = on_timer,
                                                .drain = on_drain,
                                                .closed = on_closed};
    struct dispatch_port *port = arg;
    struct dispatch *dispatch = port->dispatch;
    if (!net_admit(dispatch->options.net, peer)) {
        close(fd);
        return;
    }
    struct dispatch_device *device = mem_zalloc(sizeof(*device));
    device->dispatch = dispatch;
    device->port = port;
    port->sockets++;
    list_init(&device->entry);
    list_init(&device->touched);
    list_init(&device->attachments);
    list_init(&device->legs);
    device->conn = conn_new(dispatch->options.net, fd, peer, &handler, device);
    conn_set_member(device->conn);
    conn_set_queue_limit(device->conn,
                         dispatch->options.queue_limit + dispatch->options.message_limit);
    if (cidr_list_has(&dispatch->trusted, peer)) {
        conn_set_timer(device->conn, PROXY_MS);
    } else {
        begin(device, peer);
    }
}
