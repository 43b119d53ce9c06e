/* The way to another node: what this turn has for it goes out in one message; what the way has no
 * room for waits, and meanwhile no device is read that would add to it.
 *
 *     topic  "dispatch:node:<name>"  messages of node/service/dispatch/message.h */
#include "node/service/dispatch/mesh_impl.h"

#include <stdlib.h>

enum {
    BATCH = 128 * KIB,      /* bytes after which a message is published before the turn ends */
    CONGESTED = 4096 * KIB, /* bytes on their way to the store: nothing more is read for it */
    RELIEVED = 1024 * KIB,
};

/* A message that waits. Nothing is read for a congested peer, so what many clients had sent in one
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

static size_t queued_to(const struct mesh_node *peer)
{
    return bus_queued(dispatch_mesh_store(peer->mesh), buf_span(&peer->topic));
}

static void hand_over(struct mesh_node *peer, const struct buf *text)
{
    if (peer->reachable &&
        bus_publish(dispatch_mesh_store(peer->mesh), buf_span(&peer->topic), buf_span(text)) != 0) {
        peer->mesh->failed = true;
    }
}

static void drop_first(struct mesh_node *peer)
{
    struct parcel *parcel = LIST_ITEM(peer->parcels.next, struct parcel, entry);
    list_del(&parcel->entry);
    buf_free(&parcel->text);
    free(parcel);
}

void dispatch_mesh_node_drop_queued(struct mesh_node *peer)
{
    while (!list_empty(&peer->parcels)) {
        drop_first(peer);
    }
    peer->out.len = 0;
}

/* Many may speak in one turn: the way may be full before it ends. */
static void publish(struct mesh_node *peer)
{
    peer->congested |= queued_to(peer) > CONGESTED;
    if (peer->out.len > 0 && peer->congested) {
        struct parcel *parcel = mem_zalloc(sizeof(*parcel));
        parcel->text = peer->out;
        peer->out = (struct buf){0};
        list_push_back(&peer->parcels, &parcel->entry);
    } else if (peer->out.len > 0) {
        hand_over(peer, &peer->out);
    }
    peer->out.len = 0;
    if (peer->out.cap > 2 * BATCH) {
        buf_free(&peer->out);
    }
}

void dispatch_mesh_node_send(struct mesh_node *peer, const struct mesh_message *frame)
{
    if (!peer->reachable) {
        return; /* its legs are ended already, or will be by the epoch */
    }
    if (peer->out.len == 0) {
        dispatch_mesh_message_put_head(
            &peer->out, &(struct mesh_head){peer->mesh->epoch, dispatch_mesh_name(peer->mesh)});
        loop_again(net_loop(peer->mesh->dispatch->options.net));
    }
    dispatch_mesh_message_put(&peer->out, frame);
    if (peer->out.len >= BATCH) {
        publish(peer);
    }
}

static void check_congestion(struct mesh_node *peer)
{
    while (!list_empty(&peer->parcels) && queued_to(peer) <= CONGESTED) {
        hand_over(peer, &LIST_ITEM(peer->parcels.next, struct parcel, entry)->text);
        drop_first(peer);
    }
    if (peer->congested && list_empty(&peer->parcels) && queued_to(peer) < RELIEVED) {
        peer->congested = false;
        dispatch_legs_wake(peer);
    }
}

bool dispatch_mesh_node_mark(struct mesh_node *peer, uint64_t mark)
{
    bool is_new = peer->mark != mark;
    peer->mark = mark;
    return is_new;
}

bool dispatch_mesh_node_is_congested(const struct mesh_node *peer)
{
    return peer->congested;
}

void dispatch_mesh_node_flush(struct mesh_node *peer)
{
    publish(peer);
    check_congestion(peer);
}

/* ------------------------------------------------------------------------------------ life */

void dispatch_mesh_node_meet(struct mesh_node *peer)
{
    dispatch_early_hear(peer->mesh);
    dispatch_drivers_check(peer->mesh->dispatch);
    dispatch_ports_meet(peer->mesh->dispatch, peer);
    dispatch_ports_touch_closed(peer->mesh->dispatch);
}

static void on_follow(void *arg, enum bus_event event, struct span payload)
{
    struct mesh_node *peer = arg;
    (void)payload;
    if (event == BUS_READY) {
        peer->reachable = true;
        if (peer->mesh->unanswered) {
            dispatch_mesh_lost(peer->mesh); /* they learn it by the epoch */
        }
        dispatch_mesh_node_meet(peer);
    } else if (event == BUS_GAP) {
        peer->reachable = false;
        dispatch_mesh_lost(peer->mesh);
    }
}

struct mesh_node *dispatch_mesh_node_find(const struct mesh *mesh, struct span name)
{
    struct map_node *node = map_find(&mesh->peers, name);
    return node != NULL ? MAP_ENTRY(node, struct mesh_node, node) : NULL;
}

struct mesh_node *dispatch_mesh_node_get(struct mesh *mesh, struct span name)
{
    struct mesh_node *peer = dispatch_mesh_node_find(mesh, name);
    if (peer != NULL) {
        return peer;
    }
    peer = mem_zalloc(sizeof(*peer) + name.len);
    memcpy(peer->name, name.ptr, name.len);
    peer->mesh = mesh;
    list_init(&peer->parcels);
    map_init(&peer->legs);
    map_insert(&mesh->peers, &peer->node, span_of(peer->name, name.len));
    dispatch_mesh_node_topic(name, &peer->topic);
    peer->follow = bus_follow(dispatch_mesh_store(mesh), buf_span(&peer->topic), on_follow, peer);
    return peer;
}

void dispatch_mesh_node_free(struct mesh_node *peer)
{
    map_remove(&peer->mesh->peers, &peer->node);
    bus_unsubscribe(&peer->follow);
    dispatch_mesh_node_drop_queued(peer);
    map_deinit(&peer->legs);
    buf_free(&peer->topic);
    buf_free(&peer->out);
    free(peer);
}

struct span dispatch_mesh_node_name(const struct mesh_node *peer)
{
    return map_key(&peer->node);
}

uint64_t dispatch_mesh_node_epoch(const struct mesh_node *peer)
{
    return peer->epoch;
}
