/* SPDX-License-Identifier: MIT */
/* A TCP device of another node that drivers here have. Its node sends what flow.c gives credit for,
 * and takes what drivers here write. */
#include "node/service/dispatch/device/device.h"
#include "node/service/dispatch/mesh/mesh.h"
#include "node/service/dispatch/port/port.h"

enum {
    PIECE = 64 * KIB, /* of a write, in one frame */
};

/* ------------------------------------------------------------------------------------ writes */

enum device_written dispatch_there_write(struct dispatch_device *device, struct span bytes)
{
    const struct dispatch_options *options = &device->dispatch->options;
    struct dispatch_leg *leg = dispatch_device_leg(device);
    if (leg->writes + bytes.len > options->queue_limit + options->message_limit) {
        metrics_add(options->metrics, METRIC_DISPATCH_STALLED, 1);
        dispatch_leg_send(leg, (struct mesh_message){.type = MESH_LOST});
        dispatch_device_end(device, DEVICE_CUT);
        return WRITTEN_CUT;
    }
    leg->writes += (uint32_t)bytes.len;
    while (bytes.len > 0) {
        size_t piece = bytes.len < PIECE ? bytes.len : PIECE;
        dispatch_leg_send(
            leg, (struct mesh_message){.type = MESH_WRITE, .bytes = span_of(bytes.ptr, piece)});
        bytes = span_skip(bytes, piece);
    }
    bool congested = leg->writes > 0 && dispatch_mesh_node_is_congested(leg->node);
    return congested || leg->writes > WRITES_MOST ? WRITTEN_FULL : WRITTEN;
}

/* ------------------------------------------------------------------------------------ frames */

void dispatch_there_open(struct dispatch *dispatch, struct mesh_node *node, uint64_t epoch,
                         const struct mesh_message *frame)
{
    struct dispatch_port *port = dispatch_port_find(dispatch, false, frame->port);
    struct dispatch_device *known = dispatch_device_find(dispatch, frame->device);
    if (known != NULL) {
        dispatch_device_end(known, DEVICE_CUT); /* its node began again with it */
    }
    if (port == NULL || !dispatch_port_accepts_here(port, &frame->peer)) {
        dispatch_mesh_node_send(node,
                                &(struct mesh_message){.type = MESH_LEAVE, .leg = frame->leg});
        return;
    }
    struct dispatch_device *device = mem_zalloc(sizeof(*device));
    device->dispatch = dispatch;
    device->port = port;
    device->id = frame->device;
    device->peer = frame->peer;
    device->begun = true;
    list_init(&device->touched);
    list_init(&device->attachments);
    list_init(&device->legs);
    dispatch_device_enter(device);
    dispatch_leg_new(device, node, frame->leg, epoch)->got = frame->sequence + 1;
    dispatch_device_attach_all(device);
}

void dispatch_there_on_frame(struct dispatch_leg *leg, const struct mesh_message *frame)
{
    struct dispatch_device *device = leg->device;
    switch (frame->type) {
    case MESH_DATA:
        if (list_empty(&device->attachments)) { /* a driver left; one that comes is not open yet */
            dispatch_leg_cut(leg, "bytes of it came that nobody here could take");
            break;
        }
        device->owed += (uint32_t)frame->bytes.len + LEG_COST;
        dispatch_device_deliver(device, frame->bytes);
        dispatch_flow_touch(device);
        break;
    case MESH_WROTE:
        leg->writes -= frame->count < leg->writes ? frame->count : leg->writes;
        if (leg->writes <= WRITES_MOST / 2) {
            dispatch_device_release_writers(leg->device);
        }
        break;
    case MESH_END:
        dispatch_device_end(device, DEVICE_GONE);
        break;
    default:
        dispatch_leg_cut(leg, "a node speaks out of turn");
        break;
    }
}
