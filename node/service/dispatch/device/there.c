/* A TCP device of another node that drivers here have. That node may send as much as it has credit
 * for; credit is given again when what it sent was queued to drivers none of which is full. It
 * begins small, so that many idle devices may not flood a driver, and grows while it is used. */
#include "node/service/dispatch/device/device.h"
#include "node/service/dispatch/mesh/mesh.h"
#include "node/service/dispatch/port/count.h"
#include "node/service/dispatch/port/port.h"
#include "node/service/dispatch/port/udp.h"

enum {
    DRIVER_WINDOWS = 4 * 1024 * KIB, /* of one driver's devices in all, before growth ends */
    PIECE = 64 * KIB,                /* of a write, in one frame */
};

/* ------------------------------------------------------------------------------------ credit */

static void send_credit(struct dispatch_device *device, uint32_t count)
{
    dispatch_leg_send(dispatch_device_leg(device),
                      (struct mesh_message){.type = MESH_CREDIT, .count = count});
}

static void widen(struct dispatch_device *device, uint32_t by)
{
    device->window += by;
    LIST_EACH(it, &device->attachments) {
        LIST_ITEM(it, struct attachment, of_device)->driver->granted += by;
    }
}

void dispatch_there_grant(struct dispatch_device *device)
{
    if (device->window == 0 && !list_empty(&device->attachments)) {
        widen(device, WINDOW_FIRST);
        send_credit(device, WINDOW_FIRST);
    }
}

/* By how much the window may grow now. */
static uint32_t growth(struct dispatch_device *device)
{
    uint32_t by = device->window < WINDOW_MOST ? device->window : 0;
    LIST_EACH(it, &device->attachments) {
        const struct dispatch_driver *driver = LIST_ITEM(it, struct attachment, of_device)->driver;
        by = driver->granted + by <= DRIVER_WINDOWS ? by : 0;
    }
    return by;
}

void dispatch_there_flow(struct dispatch_device *device)
{
    if (device->held > 0 || list_empty(&device->attachments) || device->owed == 0 ||
        device->owed < device->window / 2) {
        return;
    }
    uint32_t by = growth(device);
    send_credit(device, device->owed + by);
    widen(device, by);
    device->owed = 0;
}

/* ------------------------------------------------------------------------------------ writes */

size_t dispatch_there_write(struct dispatch_device *device, struct span bytes)
{
    const struct dispatch_options *options = &device->dispatch->options;
    struct dispatch_leg *leg = dispatch_device_leg(device);
    if (leg->writes + bytes.len > options->queue_limit + options->message_limit) {
        metrics_add(options->metrics, METRIC_DISPATCH_STALLED, 1);
        dispatch_leg_send(leg, (struct mesh_message){.type = MESH_LOST});
        dispatch_device_end(device, DEVICE_CUT);
        return 0;
    }
    leg->writes += (uint32_t)bytes.len;
    while (bytes.len > 0) {
        size_t piece = bytes.len < PIECE ? bytes.len : PIECE;
        dispatch_leg_send(
            leg, (struct mesh_message){.type = MESH_WRITE, .bytes = span_of(bytes.ptr, piece)});
        bytes = span_skip(bytes, piece);
    }
    return leg->writes > 0 && dispatch_mesh_node_is_congested(leg->node) ? SIZE_MAX : leg->writes;
}

static void on_wrote(struct dispatch_leg *leg, uint32_t count)
{
    leg->writes -= count < leg->writes ? count : leg->writes;
    if (leg->writes <= WRITES_MOST / 2) {
        dispatch_device_release_writers(leg->device);
    }
}

/* ------------------------------------------------------------------------------------ frames */

void dispatch_there_open(struct dispatch *dispatch, struct mesh_node *node, uint64_t epoch,
                         const struct mesh_message *frame)
{
    struct dispatch_port *port = dispatch_port_find(dispatch, false, frame->port);
    struct dispatch_device *known = dispatch_device_find(dispatch, frame->device);
    if (known != NULL) {
        dispatch_device_end(known, DEVICE_CUT); /* its node began anew with it */
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
        dispatch_there_flow(device);
        break;
    case MESH_WROTE:
        on_wrote(leg, frame->count);
        break;
    case MESH_END:
        dispatch_device_end(device, DEVICE_GONE);
        break;
    default:
        dispatch_leg_cut(leg, "a node speaks out of turn");
        break;
    }
}
