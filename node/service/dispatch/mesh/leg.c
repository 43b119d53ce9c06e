/* SPDX-License-Identifier: MIT */
/* Legs: the way of one device between two nodes. Frames of a leg are numbered in each direction, so
 * that none is missing unnoticed. */
#include "node/core/log.h"
#include "node/service/dispatch/device/device.h"
#include "node/service/dispatch/mesh/node.h"

#include <stdlib.h>

struct dispatch_leg *dispatch_leg_new(struct dispatch_device *device, struct mesh_node *node,
                                      uint64_t id, uint64_t epoch)
{
    struct dispatch_leg *leg = mem_zalloc(sizeof(*leg));
    leg->id = id;
    leg->device = device;
    leg->node = node;
    leg->epoch = epoch;
    list_push_back(&device->legs, &leg->of_device);
    map_insert(&node->legs, &leg->entry, span_of(&leg->id, sizeof(leg->id)));
    return leg;
}

void dispatch_leg_free(struct dispatch_leg *leg)
{
    map_remove(&leg->node->legs, &leg->entry);
    list_del(&leg->of_device);
    free(leg);
}

struct dispatch_leg *dispatch_device_leg(const struct dispatch_device *device)
{
    return LIST_ITEM(device->legs.next, struct dispatch_leg, of_device);
}

struct dispatch_leg *dispatch_leg_find(const struct mesh_node *node, uint64_t id)
{
    struct map_node *found = map_find(&node->legs, span_of(&id, sizeof(id)));
    return found != NULL ? MAP_ENTRY(found, struct dispatch_leg, entry) : NULL;
}

void dispatch_leg_send(struct dispatch_leg *leg, struct mesh_message frame)
{
    frame.leg = leg->id;
    frame.sequence = leg->sent++;
    dispatch_mesh_node_send(leg->node, &frame);
}

/* ------------------------------------------------------------------------------------ ends */

void dispatch_leg_cut(struct dispatch_leg *leg, const char *why)
{
    struct dispatch_device *device = leg->device;
    struct dispatch *dispatch = device->dispatch;
    log_debug("device cut off", LOG_TEXT_FIELD("reason", why));
    metrics_add(metrics_of(dispatch), METRIC_DISPATCH_CUT, 1);
    if (!device_is_here(device)) {
        dispatch_leg_send(leg, (struct mesh_message){.type = MESH_LOST});
    }
    dispatch_device_end(device, DEVICE_CUT);
}

void dispatch_legs_cut(struct mesh_node *node, uint64_t before, const char *why)
{
    MAP_EACH(it, &node->legs) {
        struct dispatch_leg *leg = MAP_ENTRY(it, struct dispatch_leg, entry);
        if (leg->epoch < before) {
            dispatch_leg_cut(leg, why);
        }
    }
}

void dispatch_legs_end(struct mesh_node *node)
{
    MAP_EACH(it, &node->legs) {
        struct dispatch_leg *leg = MAP_ENTRY(it, struct dispatch_leg, entry);
        struct dispatch_device *device = leg->device;
        if (!device_is_here(device)) {
            dispatch_device_end(device, DEVICE_GONE);
            continue;
        }
        dispatch_leg_free(leg);
        dispatch_flow_touch(device);
        dispatch_device_abandoned(device);
    }
}

void dispatch_legs_wake(struct mesh_node *node)
{
    MAP_EACH(it, &node->legs) {
        dispatch_flow_touch(MAP_ENTRY(it, struct dispatch_leg, entry)->device);
    }
}
