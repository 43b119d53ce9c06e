/* Legs: the way of one device between two nodes. Frames of a leg are numbered in each direction, so
 * that none is missing unnoticed. */
#include "node/core/log.h"
#include "node/service/dispatch/device/device.h"
#include "node/service/dispatch/mesh/node.h"
#include "node/service/dispatch/port/count.h"
#include "node/service/dispatch/port/port.h"
#include "node/service/dispatch/port/udp.h"

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

static struct dispatch_leg *find_leg(const struct mesh_node *node, uint64_t id)
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
        dispatch_device_flow(device);
        dispatch_device_abandoned(device);
    }
}

void dispatch_legs_wake(struct mesh_node *node)
{
    MAP_EACH(it, &node->legs) {
        dispatch_device_flow(MAP_ENTRY(it, struct dispatch_leg, entry)->device);
    }
}

/* ------------------------------------------------------------------------------------ hearing */

/* From a node that cannot be spoken to, or of a leg that is no more. As legs_refuse. */
static int answer_unknown(struct mesh *mesh, struct span node, const struct mesh_message *frame)
{
    bool of_device = frame->type == MESH_OPEN || frame->type == MESH_DATA;
    bool of_driver =
        frame->type == MESH_CREDIT || frame->type == MESH_WRITE || frame->type == MESH_SHUT;
    struct mesh_message answer = {.type = of_device ? MESH_LOST : MESH_END, .leg = frame->leg};
    struct buf text = {0}, topic = {0};
    if (!of_device && !of_driver) {
        return 0;
    }
    dispatch_mesh_message_put_head(&text,
                                   &(struct mesh_head){mesh->epoch, dispatch_mesh_name(mesh)});
    dispatch_mesh_message_put(&text, &answer);
    dispatch_mesh_node_topic(node, &topic);
    int sent = bus_publish(dispatch_mesh_store(mesh), buf_span(&topic), buf_span(&text));
    buf_free(&topic);
    buf_free(&text);
    return sent == 0 ? 1 : -1;
}

static bool is_of_device(enum mesh_type type)
{
    return type <= MESH_DATAGRAM;
}

static void on_leg_frame(struct mesh_node *node, const struct mesh_message *frame)
{
    struct dispatch_leg *leg = find_leg(node, frame->leg);
    if (leg == NULL || device_is_here(leg->device) == is_of_device(frame->type)) {
        node->mesh->failed |= answer_unknown(node->mesh, dispatch_mesh_node_name(node), frame) < 0;
        return;
    }
    bool last = frame->type == MESH_END || frame->type == MESH_LOST; /* also sent without a leg */
    if (!last && frame->sequence != leg->got++) {
        dispatch_leg_cut(leg, "a frame is missing");
    } else if (device_is_here(leg->device)) {
        dispatch_here_on_frame(leg, frame);
    } else {
        dispatch_there_on_frame(leg, frame);
    }
}

/* What belongs to no leg; true when it was that. */
static bool on_datagram(struct mesh *mesh, struct span node, const struct mesh_message *frame)
{
    if (frame->type == MESH_DATAGRAM) {
        dispatch_udp_on_remote(mesh->dispatch, node, frame);
    } else if (frame->type == MESH_SEND) {
        dispatch_udp_on_send(mesh->dispatch, frame);
    } else {
        return false;
    }
    return true;
}

static void on_frame(struct mesh_node *node, uint64_t epoch, const struct mesh_message *frame)
{
    if (frame->type == MESH_OPEN) {
        dispatch_there_open(node->mesh->dispatch, node, epoch, frame);
    } else if (!on_datagram(node->mesh, dispatch_mesh_node_name(node), frame)) {
        on_leg_frame(node, frame);
    }
}

bool dispatch_legs_can_hear(struct mesh *mesh, struct span message)
{
    struct mesh_head head;
    return dispatch_mesh_message_read_head(&message, &head) == 0 &&
           dispatch_mesh_node_ready(mesh, head.node) != NULL;
}

int dispatch_legs_refuse(struct mesh *mesh, struct span message)
{
    struct mesh_head head;
    struct mesh_message frame;
    int said = 0, answer = 0;
    if (dispatch_mesh_message_read_head(&message, &head) != 0) {
        return 0;
    }
    while (answer >= 0 && dispatch_mesh_message_next(&message, &frame) > 0) {
        answer = answer_unknown(mesh, head.node, &frame);
        said += answer;
    }
    return answer < 0 ? -1 : said;
}

/* From a node that cannot be spoken to yet. Datagrams need no way back, and are of no use later. */
static void hear_early(struct mesh *mesh, const struct mesh_head *head, struct span rest)
{
    struct mesh_message frame;
    struct buf kept = {0};
    while (dispatch_mesh_message_next(&rest, &frame) > 0) {
        if (on_datagram(mesh, head->node, &frame)) {
            continue;
        }
        if (kept.len == 0) {
            dispatch_mesh_message_put_head(&kept, head);
        }
        dispatch_mesh_message_put(&kept, &frame);
    }
    if (kept.len > 0 && !dispatch_early_keep(mesh, &kept) &&
        dispatch_legs_refuse(mesh, buf_span(&kept)) < 0) {
        mesh->unanswered = true;
    }
    buf_free(&kept);
}

void dispatch_legs_hear(struct mesh *mesh, struct span message)
{
    struct mesh_head head;
    struct mesh_message frame;
    if (dispatch_mesh_message_read_head(&message, &head) != 0) {
        return; /* of another version, or not of ours at all */
    }
    struct mesh_node *node = dispatch_mesh_node_ready(mesh, head.node);
    if (node == NULL) {
        hear_early(mesh, &head, message);
        return;
    }
    if (head.epoch < node->epoch) {
        return; /* what it was about was cut since */
    }
    while (dispatch_mesh_message_next(&message, &frame) > 0) {
        on_frame(node, head.epoch, &frame);
    }
}
