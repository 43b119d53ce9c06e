/* SPDX-License-Identifier: MIT */
/* Which device may send, and how much: the only file that pauses, resumes and grants credit.
 *
 *     anything that counts --dispatch_flow_touch--> touched --the turn ends--> settle
 *         here:  may_read == 0: paused; else read, so many bytes at most
 *         there: its node gets credit again for what drivers here took
 *
 * A device that is here may send what every driver here takes (none of them is full) and what every
 * other node that has drivers for it has given credit for (and none of the ways there is
 * congested). The credit of one that is there begins small, so that many idle devices may not flood
 * a driver, and grows while it is used. */
#include "node/service/dispatch/device/device.h"
#include "node/service/dispatch/mesh/mesh.h"
#include "node/service/dispatch/port/port.h"

enum {
    WINDOW_FIRST = 8 * KIB, /* credit of a device elsewhere; doubled as it is used */
    WINDOW_MOST = 256 * KIB,
    DRIVER_WINDOWS = 4 * 1024 * KIB, /* of one driver's devices in all, before growth ends */
};

void dispatch_flow_touch(struct dispatch_device *device)
{
    if (!device->ended && list_empty(&device->touched)) {
        list_push_back(&device->dispatch->touched, &device->touched);
        loop_again(net_loop(device->dispatch->options.net));
    }
}

/* ------------------------------------------------------------------------------------ here */

/* Bytes that a device which is here may send now; SIZE_MAX: no bound. */
static size_t may_read(struct dispatch_device *device)
{
    bool nobodys = list_empty(&device->attachments) && list_empty(&device->legs);
    size_t least = device->held > 0 || nobodys ? 0 : SIZE_MAX;
    LIST_EACH(it, &device->legs) {
        const struct dispatch_leg *leg = LIST_ITEM(it, struct dispatch_leg, of_device);
        size_t credit = leg->credit > LEG_COST ? leg->credit - LEG_COST : 0;
        credit = dispatch_mesh_node_is_congested(leg->node) ? 0 : credit;
        least = credit < least ? credit : least;
    }
    return least;
}

size_t dispatch_flow_take(struct dispatch_device *device, size_t offered)
{
    size_t most = may_read(device);
    if (most < offered) {
        conn_pause(
            device->conn,
            CONN_PAUSE_SERVICE); /* at once: the connection keeps what is left only when paused */
    }
    dispatch_flow_touch(device);
    return most < offered ? most : offered;
}

/* ------------------------------------------------------------------------------------ there */

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

static void grant(struct dispatch_device *device, uint32_t again, uint32_t more)
{
    device->window += more;
    LIST_EACH(it, &device->attachments) {
        LIST_ITEM(it, struct attachment, of_device)->driver->granted += more;
    }
    device->owed = 0;
    dispatch_leg_send(dispatch_device_leg(device),
                      (struct mesh_message){.type = MESH_CREDIT, .count = again + more});
}

static void settle_there(struct dispatch_device *device)
{
    if (list_empty(&device->attachments)) {
        return;
    }
    if (device->window == 0) {
        grant(device, 0, WINDOW_FIRST);
    } else if (device->held == 0 && device->owed > 0 && device->owed >= device->window / 2) {
        grant(device, device->owed, growth(device));
    }
}

void dispatch_flow_settle(struct dispatch *dispatch)
{
    struct list now;
    list_init(&now);
    list_splice(&now, &dispatch->touched);
    while (!list_empty(&now)) {
        struct dispatch_device *device = LIST_ITEM(now.next, struct dispatch_device, touched);
        list_del(&device->touched);
        if (device_is_here(device)) {
            size_t bytes = may_read(device);
            if (bytes == 0) {
                conn_pause(device->conn, CONN_PAUSE_SERVICE);
            } else {
                conn_set_read_limit(device->conn, bytes == SIZE_MAX ? 0 : bytes);
                conn_resume(device->conn, CONN_PAUSE_SERVICE);
            }
        } else {
            settle_there(device);
        }
    }
}
