/* SPDX-License-Identifier: MIT */
/* A TCP device as the drivers here see it, whichever node its socket is on. */
#include "node/core/log.h"
#include "node/service/dispatch/device/device.h"
#include "node/service/dispatch/mesh/mesh.h"
#include "node/service/dispatch/port/port.h"

static struct span id_key(const uint64_t *id)
{
    return span_of(id, sizeof(*id));
}

struct dispatch_device *dispatch_device_find(struct dispatch *dispatch, uint64_t id)
{
    struct map_node *node = map_find(&dispatch->devices, id_key(&id));
    return node != NULL ? MAP_ENTRY(node, struct dispatch_device, node) : NULL;
}

void dispatch_device_enter(struct dispatch_device *device)
{
    map_insert(&device->dispatch->devices, &device->node, id_key(&device->id));
    list_push_back(&device->port->devices, &device->entry);
}

/* ------------------------------------------------------------------------------------ drivers */

static struct chunk *build(const struct dispatch_device *device, enum dispatch_type type,
                           struct span bytes)
{
    char ip[ADDRESS_TEXT], head[DISPATCH_HEAD_MOST];
    address_ip_text(&device->peer, ip);
    struct dispatch_frame frame = {type, span_str(ip), device->id, bytes};
    return ws_frame_parts(WS_BINARY, span_of(head, dispatch_frame_head(&frame, head)), bytes);
}

static void tell(const struct attachment *attachment, enum dispatch_type type)
{
    struct chunk *chunk = build(attachment->device, type, SPAN(""));
    dispatch_driver_send(attachment->driver, chunk);
    chunk_unref(chunk);
}

void dispatch_device_hold(struct attachment *attachment, bool hold)
{
    struct dispatch_driver *driver = attachment->driver;
    attachment->device->held += hold ? 1U : 0U;
    attachment->device->held -= attachment->holding ? 1U : 0U;
    attachment->holding = hold;
    list_del(&attachment->of_driver);
    list_push_back(hold ? &driver->holding : &driver->flowing, &attachment->of_driver);
    dispatch_flow_touch(attachment->device);
}

void dispatch_device_attach(struct dispatch_device *device, struct dispatch_driver *driver)
{
    struct attachment *attachment = mem_zalloc(sizeof(*attachment));
    attachment->device = device;
    attachment->driver = driver;
    list_push_back(&device->attachments, &attachment->of_device);
    list_init(&attachment->of_driver);
    dispatch_device_hold(attachment, dispatch_driver_is_full(driver));
    driver->granted += device->window;
    tell(attachment, DISPATCH_OPENED);
    if (attachment->holding) {
        dispatch_driver_is_holding(driver);
    }
}

void dispatch_device_attach_all(struct dispatch_device *device)
{
    LIST_EACH(it, &device->port->drivers) {
        struct dispatch_driver *driver = LIST_ITEM(it, struct dispatch_driver, entry);
        if (driver->state == DRIVER_OPEN && ws_is_open(driver->ws) &&
            cidr_list_has(&driver->accept, &device->peer)) {
            dispatch_device_attach(device, driver);
        }
    }
}

static void stop_waiting(struct attachment *attachment)
{
    struct dispatch_driver *driver = attachment->driver;
    if (attachment->waiting) {
        attachment->waiting = false;
        if (--driver->waits == 0 && driver->state == DRIVER_OPEN) {
            ws_resume(driver->ws);
        }
    }
}

static void attachment_free(struct attachment *attachment)
{
    stop_waiting(attachment);
    list_del(&attachment->of_device);
    list_del(&attachment->of_driver);
    attachment->device->held -= attachment->holding ? 1 : 0;
    attachment->driver->granted -= attachment->device->window;
    free(attachment);
}

void dispatch_device_detach(struct attachment *attachment)
{
    struct dispatch_device *device = attachment->device;
    attachment_free(attachment);
    dispatch_flow_touch(device);
    dispatch_device_abandoned(device);
}

void dispatch_device_abandoned(struct dispatch_device *device)
{
    if (!list_empty(&device->attachments) || device->ended) {
        return;
    }
    if (dispatch_port_accepts_here(device->port, &device->peer)) {
        return; /* a driver that still registers will have it */
    }
    if (device_is_here(device)) {
        if (list_empty(&device->legs)) {
            dispatch_device_end(device, DEVICE_SHUT);
        }
    } else {
        dispatch_leg_send(dispatch_device_leg(device), (struct mesh_message){.type = MESH_LEAVE});
        dispatch_device_end(device, DEVICE_GONE);
    }
}

/* ------------------------------------------------------------------------------------ data */

void dispatch_device_deliver(struct dispatch_device *device, struct span bytes)
{
    if (list_empty(&device->attachments) || bytes.len == 0) {
        return;
    }
    struct chunk *chunk = build(device, DISPATCH_RECEIVED, bytes);
    LIST_EACH(it, &device->attachments) {
        dispatch_driver_send(LIST_ITEM(it, struct attachment, of_device)->driver, chunk);
    }
    chunk_unref(chunk);
}

void dispatch_device_write(struct attachment *attachment, struct span bytes)
{
    struct dispatch_device *device = attachment->device;
    struct dispatch_driver *driver = attachment->driver;
    enum device_written written = device_is_here(device) ? dispatch_here_write(device, bytes)
                                                         : dispatch_there_write(device, bytes);
    if (written == WRITTEN_FULL && !attachment->waiting) { /* else the attachment may be gone */
        attachment->waiting = true;
        driver->waits++;
        ws_pause(driver->ws);
    }
}

void dispatch_device_release_writers(struct dispatch_device *device)
{
    LIST_EACH(it, &device->attachments) {
        stop_waiting(LIST_ITEM(it, struct attachment, of_device));
    }
}

/* ------------------------------------------------------------------------------------ end */

void dispatch_device_shut(struct dispatch_device *device)
{
    if (device_is_here(device)) {
        dispatch_device_end(device, DEVICE_SHUT);
    } else {
        dispatch_leg_send(dispatch_device_leg(device), (struct mesh_message){.type = MESH_SHUT});
    }
}

void dispatch_device_end(struct dispatch_device *device, enum device_end how)
{
    if (device->ended) {
        return;
    }
    device->ended = true;
    list_del(&device->touched);
    while (!list_empty(&device->attachments)) {
        struct attachment *attachment =
            LIST_ITEM(device->attachments.next, struct attachment, of_device);
        tell(attachment, DISPATCH_CLOSED);
        attachment_free(attachment);
    }
    while (!list_empty(&device->legs)) {
        struct dispatch_leg *leg = LIST_ITEM(device->legs.next, struct dispatch_leg, of_device);
        if (device_is_here(device)) {
            dispatch_leg_send(leg, (struct mesh_message){.type = MESH_END});
        }
        dispatch_leg_free(leg);
    }
    if (device->begun) {
        map_remove(&device->dispatch->devices, &device->node);
        list_del(&device->entry);
        dispatch_port_touch(device->port);
    }
    if (device_is_here(device)) {
        dispatch_here_close(device, how);
    } else {
        free(device);
    }
}
