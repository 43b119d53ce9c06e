/* SPDX-License-Identifier: MIT */
/* What other nodes say to this one.
 *
 *     message --head--> UNKNOWN  datagrams are heard; the rest waits for the way to that node, and is
 *                                refused after a time
 *                       OLD      passed over: what it was about was cut since
 *                       READY    each frame goes to its leg; one without a leg is answered
 *
 * UNKNOWN happens where the store is several servers: what a node says may come before the roster
 * shows it, or before the way to it is open. It is heard then, in the order in which it came. While
 * there is no way to refuse it either, it waits on. */
#include "node/core/log.h"
#include "node/service/dispatch/device/device.h"
#include "node/service/dispatch/mesh/node.h"
#include "node/service/dispatch/port/udp.h"
#include "store/base/clock.h"

#include <stdlib.h>

enum {
    EARLY_MS = 5 * 1000,     /* for the way to be open */
    EARLY_MOST = 1024 * KIB, /* bytes of all of them */
};

/* Frames of a node that cannot be spoken to yet. */
struct early {
    struct list entry; /* of struct mesh, the oldest first */
    uint64_t since;    /* monotonic milliseconds */
    uint64_t epoch;
    char *node;
    struct buf frames;
};

/* ------------------------------------------------------------------------------------ refusing */

/* Answers a frame that no leg here can take, so that its sender ends the leg, too. Above 0: said;
 * 0: nothing had to be; below 0: there is no way to that node. */
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
                                   &(struct mesh_head){.epoch = dispatch_mesh_epoch_for(mesh, node),
                                                       .node = dispatch_mesh_name(mesh)});
    dispatch_mesh_message_put(&text, &answer);
    dispatch_mesh_node_topic(node, &topic);
    int sent = bus_publish(dispatch_mesh_store(mesh), buf_span(&topic), buf_span(&text));
    buf_free(&topic);
    buf_free(&text);
    return sent == 0 ? 1 : -1;
}

/* As answer_unknown, for all of them. */
static int refuse(struct mesh *mesh, struct span node, struct span frames)
{
    struct mesh_message frame;
    int said = 0, answer = 0;
    while (answer >= 0 && dispatch_mesh_message_next(&frames, &frame) > 0) {
        answer = answer_unknown(mesh, node, &frame);
        said += answer;
    }
    return answer < 0 ? -1 : said;
}

/* ------------------------------------------------------------------------------------ waiting */

static void early_free(struct mesh *mesh, struct early *early)
{
    mesh->early_bytes -= early->frames.len;
    list_del(&early->entry);
    buf_free(&early->frames);
    free(early->node);
    free(early);
}

static void on_early_over(struct wheel_timer *timer)
{
    struct mesh *mesh = CONTAINER_OF(timer, struct mesh, early_timer);
    uint64_t now = clock_monotonic_ms(), messages = 0, wait = EARLY_MS;
    LIST_EACH(it, &mesh->early) {
        struct early *early = LIST_ITEM(it, struct early, entry);
        if (now - early->since < EARLY_MS) {
            wait = early->since + EARLY_MS - now;
            break;
        }
        int refused = refuse(mesh, span_str(early->node), buf_span(&early->frames));
        if (refused >= 0) {
            early_free(mesh, early);
        }
        messages += refused > 0;
    }
    if (messages > 0) {
        log_warn("nodes spoke that could not be answered", LOG_NUMBER_FIELD("messages", messages));
    }
    if (!list_empty(&mesh->early)) {
        wheel_set(net_wheel(mesh->dispatch->options.net), timer, wait);
    }
}

/* Keeps *frames (stolen) for later. Without room for them they are refused at once. */
static void keep(struct mesh *mesh, const struct mesh_head *head, struct buf *frames)
{
    if (mesh->early_bytes + frames->len > EARLY_MOST) {
        mesh->unanswered |= refuse(mesh, head->node, buf_span(frames)) < 0;
        buf_free(frames);
        return;
    }
    if (list_empty(&mesh->early)) {
        wheel_set(net_wheel(mesh->dispatch->options.net), &mesh->early_timer, EARLY_MS);
    }
    struct early *early = mem_zalloc(sizeof(*early));
    early->since = clock_monotonic_ms();
    early->epoch = head->epoch;
    early->node = mem_dup(head->node);
    early->frames = *frames;
    *frames = (struct buf){0};
    mesh->early_bytes += early->frames.len;
    list_push_back(&mesh->early, &early->entry);
}

/* ------------------------------------------------------------------------------------ hearing */

static void hear_leg(struct mesh_node *node, const struct mesh_message *frame)
{
    struct dispatch_leg *leg = dispatch_leg_find(node, frame->leg);
    bool of_device = frame->type <= MESH_DATAGRAM; /* said by the device's node */
    if (leg == NULL || device_is_here(leg->device) == of_device) {
        node->failed |= answer_unknown(node->mesh, dispatch_mesh_node_name(node), frame) < 0;
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

enum sender_standing { STANDING_UNKNOWN, STANDING_OLD, STANDING_READY };

static enum sender_standing standing_of(const struct mesh_node *node, uint64_t epoch)
{
    if (node == NULL) {
        return STANDING_UNKNOWN;
    }
    return epoch < node->epoch ? STANDING_OLD : STANDING_READY;
}

static void hear(struct mesh *mesh, const struct mesh_head *head, struct span frames)
{
    struct mesh_node *node = dispatch_mesh_node_ready(mesh, head->node);
    enum sender_standing standing = standing_of(node, head->epoch);
    struct mesh_message frame;
    struct buf early = {0};
    if (standing == STANDING_OLD) {
        return;
    }
    while (dispatch_mesh_message_next(&frames, &frame) > 0) {
        switch (frame.type) {
        case MESH_DATAGRAM: /* needs no way back, and is of no use later */
            dispatch_udp_on_remote(mesh->dispatch, head->node, &frame);
            break;
        case MESH_SEND:
            dispatch_udp_on_send(mesh->dispatch, &frame);
            break;
        case MESH_OPEN:
            if (standing == STANDING_READY) {
                dispatch_there_open(mesh->dispatch, node, head->epoch, &frame);
            } else {
                dispatch_mesh_message_put(&early, &frame);
            }
            break;
        default:
            if (standing == STANDING_READY) {
                hear_leg(node, &frame);
            } else {
                dispatch_mesh_message_put(&early, &frame);
            }
            break;
        }
    }
    if (early.len > 0) {
        keep(mesh, head, &early);
    }
}

/* That node and this one share nothing from here on. */
static void end_foreign(struct mesh *mesh, const struct mesh_head *head, const char *text)
{
    struct mesh_node *node = dispatch_mesh_node_find(mesh, head->node);
    metrics_add(metrics_of(mesh->dispatch), METRIC_WIRE_UNREAD_MESH, 1);
    log_warn(text, LOG_SPAN_FIELD("node", head->node), LOG_NUMBER_FIELD("form", head->form));
    if (node != NULL) {
        dispatch_mesh_way_lost(node);
    }
}

/* Its devices and drivers hear nothing of this node: both are told, here and there. A head without
 * frames is such an answer already. */
static void hear_foreign(struct mesh *mesh, const struct mesh_head *head, struct span frames)
{
    if (frames.len > 0) {
        struct buf text = {0}, topic = {0};
        dispatch_mesh_message_put_head(
            &text, &(struct mesh_head){.epoch = dispatch_mesh_epoch_for(mesh, head->node),
                                       .node = dispatch_mesh_name(mesh)});
        dispatch_mesh_node_topic(head->node, &topic);
        if (bus_publish(dispatch_mesh_store(mesh), buf_span(&topic), buf_span(&text)) != 0) {
            mesh->unanswered = true;
        }
        buf_free(&topic);
        buf_free(&text);
    }
    end_foreign(mesh, head, "a node speaks another form of the mesh, devices cut off");
}

void dispatch_inbound_hear(struct mesh *mesh, struct span message)
{
    struct mesh_head head;
    if (dispatch_mesh_message_read_head(&message, &head) != 0) {
        return; /* not of ours at all */
    }
    if (!dispatch_mesh_message_is_read(&head)) {
        hear_foreign(mesh, &head, message);
    } else if (message.len == 0) {
        end_foreign(mesh, &head, "a node cannot read what this one says, devices cut off");
    } else {
        hear(mesh, &head, message);
    }
}

void dispatch_inbound_hear_early(struct mesh *mesh)
{
    LIST_EACH(it, &mesh->early) {
        struct early *early = LIST_ITEM(it, struct early, entry);
        struct mesh_head head = {.epoch = early->epoch, .node = span_str(early->node)};
        if (dispatch_mesh_node_ready(mesh, head.node) != NULL) {
            hear(mesh, &head, buf_span(&early->frames));
            early_free(mesh, early);
        }
    }
}

void dispatch_inbound_drop_early(struct mesh *mesh)
{
    while (!list_empty(&mesh->early)) {
        early_free(mesh, LIST_ITEM(mesh->early.next, struct early, entry));
    }
    wheel_cancel(&mesh->early_timer);
}

void dispatch_inbound_init(struct mesh *mesh)
{
    list_init(&mesh->early);
    wheel_timer_init(&mesh->early_timer, on_early_over);
}
