/* SPDX-License-Identifier: MIT */
/* The way to another node: what this turn has for it goes out in one message; what the way has no
 * room for waits, and meanwhile no device is read that would add to it.
 *
 *     topic  "dispatch:node:<name>"  messages of node/service/dispatch/mesh/message.h */
#include "node/service/dispatch/mesh/node.h"
#include "node/service/dispatch/port/port.h"

#include <stdlib.h>

enum {
    BATCH = 128 * KIB,      /* bytes after which a message is published before the turn ends */
    CONGESTED = 4096 * KIB, /* bytes on their way to the store: nothing more is read for it */
    RELIEVED = 1024 * KIB,
};

/* A message that waits. Nothing is read for a congested node, so what many clients had sent in one
 * turn is all that ever waits. */
struct parcel {
    struct list entry;
    struct buf text;
};

void dispatch_mesh_node_topic(struct span name, struct buf *out)
{
    buf_append(out, SPAN("dispatch:node:"));
    buf_append(out, name);
}

/* ------------------------------------------------------------------------------------ sending */

static size_t queued_to(const struct mesh_node *node)
{
    return bus_queued(dispatch_mesh_store(node->mesh), buf_span(&node->topic));
}

static void hand_over(struct mesh_node *node, const struct buf *text)
{
    if (node->reachable &&
        bus_publish(dispatch_mesh_store(node->mesh), buf_span(&node->topic), buf_span(text)) != 0) {
        node->failed = true;
    }
}

static void drop_first(struct mesh_node *node)
{
    struct parcel *parcel = LIST_ITEM(node->parcels.next, struct parcel, entry);
    list_del(&parcel->entry);
    buf_free(&parcel->text);
    free(parcel);
}

void dispatch_mesh_node_drop_queued(struct mesh_node *node)
{
    while (!list_empty(&node->parcels)) {
        drop_first(node);
    }
    node->out.len = 0;
}

/* Many may speak in one turn: the way may be full before it ends. */
static void publish(struct mesh_node *node)
{
    node->congested |= queued_to(node) > CONGESTED;
    if (node->out.len > 0 && node->congested) {
        struct parcel *parcel = mem_zalloc(sizeof(*parcel));
        parcel->text = node->out;
        node->out = (struct buf){0};
        list_push_back(&node->parcels, &parcel->entry);
    } else if (node->out.len > 0) {
        hand_over(node, &node->out);
    }
    node->out.len = 0;
    if (node->out.cap > 2 * BATCH) {
        buf_free(&node->out);
    }
}

void dispatch_mesh_node_send(struct mesh_node *node, const struct mesh_message *frame)
{
    if (!node->reachable) {
        return; /* its legs are ended already, or will be by the epoch */
    }
    if (node->out.len == 0) {
        dispatch_mesh_message_put_head(
            &node->out, &(struct mesh_head){.epoch = dispatch_mesh_epoch_for(
                                                node->mesh, dispatch_mesh_node_name(node)),
                                            .node = dispatch_mesh_name(node->mesh)});
        loop_again(net_loop(node->mesh->dispatch->options.net));
    }
    dispatch_mesh_message_put(&node->out, frame);
    if (node->out.len >= BATCH) {
        publish(node);
    }
}

bool dispatch_mesh_node_mark(struct mesh_node *node, uint64_t mark)
{
    bool is_new = node->mark != mark;
    node->mark = mark;
    return is_new;
}

bool dispatch_mesh_node_is_congested(const struct mesh_node *node)
{
    return node->congested;
}

void dispatch_mesh_node_flush(struct mesh_node *node)
{
    publish(node);
    while (!list_empty(&node->parcels) && queued_to(node) <= CONGESTED) {
        hand_over(node, &LIST_ITEM(node->parcels.next, struct parcel, entry)->text);
        drop_first(node);
    }
    if (node->congested && list_empty(&node->parcels) && queued_to(node) < RELIEVED) {
        node->congested = false;
        dispatch_legs_wake(node);
    }
}

/* ------------------------------------------------------------------------------------ life */

void dispatch_mesh_node_meet(struct mesh_node *node)
{
    dispatch_inbound_hear_early(node->mesh);
    dispatch_drivers_touch(node->mesh->dispatch);
    dispatch_ports_meet(node->mesh->dispatch, node);
    dispatch_ports_touch_closed(node->mesh->dispatch);
}

static void on_follow(void *arg, enum bus_event event, struct span payload)
{
    struct mesh_node *node = arg;
    (void)payload;
    if (event == BUS_READY) {
        node->reachable = true;
        if (node->mesh->unanswered) {
            dispatch_mesh_lost(node->mesh); /* they learn it by the epoch */
        }
        dispatch_mesh_node_meet(node);
    } else if (event == BUS_GAP) {
        node->reachable = false;
        dispatch_mesh_way_lost(node);
    }
}

struct mesh_node *dispatch_mesh_node_find(const struct mesh *mesh, struct span name)
{
    struct map_node *node = map_find(&mesh->nodes, name);
    return node != NULL ? MAP_ENTRY(node, struct mesh_node, entry) : NULL;
}

struct mesh_node *dispatch_mesh_node_get(struct mesh *mesh, struct span name)
{
    struct mesh_node *node = dispatch_mesh_node_find(mesh, name);
    if (node != NULL) {
        return node;
    }
    node = mem_zalloc(sizeof(*node) + name.len);
    memcpy(node->name, name.ptr, name.len);
    node->mesh = mesh;
    list_init(&node->parcels);
    map_init(&node->legs);
    map_insert(&mesh->nodes, &node->entry, span_of(node->name, name.len));
    dispatch_mesh_node_topic(name, &node->topic);
    node->follow = bus_follow(dispatch_mesh_store(mesh), buf_span(&node->topic), on_follow, node);
    return node;
}

void dispatch_mesh_node_free(struct mesh_node *node)
{
    map_remove(&node->mesh->nodes, &node->entry);
    bus_unsubscribe(&node->follow);
    dispatch_mesh_node_drop_queued(node);
    map_deinit(&node->legs);
    buf_free(&node->topic);
    buf_free(&node->out);
    free(node);
}

struct span dispatch_mesh_node_name(const struct mesh_node *node)
{
    return map_key(&node->entry);
}

uint64_t dispatch_mesh_node_epoch(const struct mesh_node *node)
{
    return node->epoch;
}
