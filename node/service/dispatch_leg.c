/* Legs: the way of one device between two nodes. Frames of a leg are numbered in each direction, so
 * that none is missing unnoticed. */
#include "node/core/log.h"
#include "node/service/dispatch_link_impl.h"

#include <stdlib.h>

struct leg *leg_new(struct device *device, struct peer *peer, uint64_t id, uint64_t epoch)
{
    struct leg *leg = mem_zalloc(sizeof *leg);
    leg->id = id;
    leg->device = device;
    leg->peer = peer;
    leg->epoch = epoch;
    list_push_back(&device->legs, &leg->of_device);
    map_insert(&peer->legs, &leg->node, span_of(&leg->id, sizeof leg->id));
    return leg;
}

void leg_free(struct leg *leg)
{
    map_remove(&leg->peer->legs, &leg->node);
    list_del(&leg->of_device);
    free(leg);
}

struct leg *device_leg(const struct device *device)
{
    return LIST_ITEM(device->legs.next, struct leg, of_device);
}

static struct leg *find_leg(const struct peer *peer, uint64_t id)
{
    struct map_node *node = map_find(&peer->legs, span_of(&id, sizeof id));
    return node != NULL ? MAP_ENTRY(node, struct leg, node) : NULL;
}

void leg_send(struct leg *leg, struct mesh_frame frame)
{
    frame.leg = leg->id;
    frame.sequence = leg->sent++;
    peer_send(leg->peer, &frame);
}

/* ------------------------------------------------------------------------------------ ends */

void leg_cut(struct leg *leg, const char *why)
{
    struct device *device = leg->device;
    struct dispatch *dispatch = device->dispatch;
    log_debug("device cut off", LOG_TEXT_FIELD("reason", why));
    metric_add(metrics_of(dispatch), METRIC_DISPATCH_CUT, 1);
    if (!device_is_here(device)) {
        leg_send(leg, (struct mesh_frame){.type = MESH_LOST});
    }
    device_end(device, DEVICE_CUT);
}

void legs_cut(struct peer *peer, uint64_t before, const char *why)
{
    MAP_EACH(it, &peer->legs) {
        struct leg *leg = MAP_ENTRY(it, struct leg, node);
        if (leg->epoch < before) {
            leg_cut(leg, why);
        }
    }
}

void legs_end(struct peer *peer)
{
    MAP_EACH(it, &peer->legs) {
        struct leg *leg = MAP_ENTRY(it, struct leg, node);
        struct device *device = leg->device;
        if (!device_is_here(device)) {
            device_end(device, DEVICE_GONE);
            continue;
        }
        leg_free(leg);
        device_flow(device);
        device_abandoned(device);
    }
}

void legs_wake(struct peer *peer)
{
    MAP_EACH(it, &peer->legs) {
        device_flow(MAP_ENTRY(it, struct leg, node)->device);
    }
}

/* ------------------------------------------------------------------------------------ hearing */

/* From a node that cannot be spoken to, or of a leg that is no more. As legs_refuse. */
static int answer_unknown(struct link *link, struct span node, const struct mesh_frame *frame)
{
    bool of_device = frame->type == MESH_OPEN || frame->type == MESH_DATA;
    bool of_driver =
        frame->type == MESH_CREDIT || frame->type == MESH_WRITE || frame->type == MESH_SHUT;
    struct mesh_frame answer = {.type = of_device ? MESH_LOST : MESH_END, .leg = frame->leg};
    struct buf text = {0}, topic = {0};
    if (!of_device && !of_driver) {
        return 0;
    }
    mesh_put_head(&text, &(struct mesh_head){link->epoch, link_name(link)});
    mesh_put(&text, &answer);
    peer_topic(node, &topic);
    int sent = bus_publish(link_store(link), buf_span(&topic), buf_span(&text));
    buf_free(&topic);
    buf_free(&text);
    return sent == 0 ? 1 : -1;
}

static bool is_of_device(enum mesh_type type)
{
    return type <= MESH_DATAGRAM;
}

static void on_leg_frame(struct peer *peer, const struct mesh_frame *frame)
{
    struct leg *leg = find_leg(peer, frame->leg);
    if (leg == NULL || device_is_here(leg->device) == is_of_device(frame->type)) {
        peer->link->failed |= answer_unknown(peer->link, peer_name(peer), frame) < 0;
        return;
    }
    bool last = frame->type == MESH_END || frame->type == MESH_LOST; /* also sent without a leg */
    if (!last && frame->sequence != leg->got++) {
        leg_cut(leg, "a frame is missing");
    } else if (device_is_here(leg->device)) {
        here_on_frame(leg, frame);
    } else {
        there_on_frame(leg, frame);
    }
}

/* What belongs to no leg; true when it was that. */
static bool on_datagram(struct link *link, struct span node, const struct mesh_frame *frame)
{
    if (frame->type == MESH_DATAGRAM) {
        udp_on_remote(link->dispatch, node, frame);
    } else if (frame->type == MESH_SEND) {
        udp_on_send(link->dispatch, frame);
    } else {
        return false;
    }
    return true;
}

static void on_frame(struct peer *peer, uint64_t epoch, const struct mesh_frame *frame)
{
    if (frame->type == MESH_OPEN) {
        there_open(peer->link->dispatch, peer, epoch, frame);
    } else if (!on_datagram(peer->link, peer_name(peer), frame)) {
        on_leg_frame(peer, frame);
    }
}

bool legs_can_hear(struct link *link, struct span message)
{
    struct mesh_head head;
    return mesh_read_head(&message, &head) == 0 && link_peer(link, head.node) != NULL;
}

int legs_refuse(struct link *link, struct span message)
{
    struct mesh_head head;
    struct mesh_frame frame;
    int said = 0, answer = 0;
    if (mesh_read_head(&message, &head) != 0) {
        return 0;
    }
    while (answer >= 0 && mesh_next(&message, &frame) > 0) {
        answer = answer_unknown(link, head.node, &frame);
        said += answer;
    }
    return answer < 0 ? -1 : said;
}

/* From a node that cannot be spoken to yet. Datagrams need no way back, and are of no use later. */
static void hear_early(struct link *link, const struct mesh_head *head, struct span rest)
{
    struct mesh_frame frame;
    struct buf kept = {0};
    while (mesh_next(&rest, &frame) > 0) {
        if (on_datagram(link, head->node, &frame)) {
            continue;
        }
        if (kept.len == 0) {
            mesh_put_head(&kept, head);
        }
        mesh_put(&kept, &frame);
    }
    if (kept.len > 0 && !early_keep(link, &kept) && legs_refuse(link, buf_span(&kept)) < 0) {
        link->unanswered = true;
    }
    buf_free(&kept);
}

void legs_hear(struct link *link, struct span message)
{
    struct mesh_head head;
    struct mesh_frame frame;
    if (mesh_read_head(&message, &head) != 0) {
        return; /* of another version, or not of ours at all */
    }
    struct peer *peer = link_peer(link, head.node);
    if (peer == NULL) {
        hear_early(link, &head, message);
        return;
    }
    if (head.epoch < peer->epoch) {
        return; /* what it was about was cut since */
    }
    while (mesh_next(&message, &frame) > 0) {
        on_frame(peer, head.epoch, &frame);
    }
}
