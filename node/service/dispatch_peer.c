/* The way to another node: what this turn has for it goes out in one message; what the way has no
 * room for waits, and nobody is read meanwhile who would add to it.
 *
 *     topic  "dispatch:node:<name>"  messages of node/proto/dispatch_mesh.h */
#include "node/service/dispatch_link_impl.h"

#include <stdlib.h>

enum {
    BATCH = 128 * KIB,      /* bytes after which a message is published before the turn ends */
    CONGESTED = 4096 * KIB, /* bytes on their way to the store: nothing more is read for it */
    RELIEVED = 1024 * KIB,
};

/* A message that waits. Nothing is read for a congested peer, so what many clients had sent in one
 * turn is all that ever waits. */
struct parcel {
    struct list link;
    struct buf text;
};

void peer_topic(struct span name, struct buf *out)
{
    buf_append(out, SPAN("dispatch:node:"));
    buf_append(out, name);
}

/* ------------------------------------------------------------------------------------ sending */

static size_t queued_to(const struct peer *peer)
{
    return bus_queued(link_store(peer->link), buf_span(&peer->topic));
}

static void hand_over(struct peer *peer, const struct buf *text)
{
    if (peer->reachable &&
        bus_publish(link_store(peer->link), buf_span(&peer->topic), buf_span(text)) != 0) {
        peer->link->failed = true;
    }
}

static void drop_first(struct peer *peer)
{
    struct parcel *parcel = LIST_ITEM(peer->parcels.next, struct parcel, link);
    list_del(&parcel->link);
    buf_free(&parcel->text);
    free(parcel);
}

void peer_drop_queued(struct peer *peer)
{
    while (!list_empty(&peer->parcels)) {
        drop_first(peer);
    }
    peer->out.len = 0;
}

/* Many may speak in one turn: the way may be full before it ends. */
static void publish(struct peer *peer)
{
    peer->congested |= queued_to(peer) > CONGESTED;
    if (peer->out.len > 0 && peer->congested) {
        struct parcel *parcel = mem_zalloc(sizeof *parcel);
        parcel->text = peer->out;
        peer->out = (struct buf){0};
        list_push_back(&peer->parcels, &parcel->link);
    } else if (peer->out.len > 0) {
        hand_over(peer, &peer->out);
    }
    peer->out.len = 0;
    if (peer->out.cap > 2 * BATCH) {
        buf_free(&peer->out);
    }
}

void peer_send(struct peer *peer, const struct mesh_frame *frame)
{
    if (!peer->reachable) {
        return; /* its legs are ended already, or will be by the epoch */
    }
    if (peer->out.len == 0) {
        mesh_put_head(&peer->out, &(struct mesh_head){peer->link->epoch, link_name(peer->link)});
        loop_again(net_loop(peer->link->dispatch->options.net));
    }
    mesh_put(&peer->out, frame);
    if (peer->out.len >= BATCH) {
        publish(peer);
    }
}

static void check_congestion(struct peer *peer)
{
    while (!list_empty(&peer->parcels) && queued_to(peer) <= CONGESTED) {
        hand_over(peer, &LIST_ITEM(peer->parcels.next, struct parcel, link)->text);
        drop_first(peer);
    }
    if (peer->congested && list_empty(&peer->parcels) && queued_to(peer) < RELIEVED) {
        peer->congested = false;
        legs_wake(peer);
    }
}

bool peer_mark(struct peer *peer, uint64_t mark)
{
    bool is_new = peer->mark != mark;
    peer->mark = mark;
    return is_new;
}

bool peer_is_congested(const struct peer *peer)
{
    return peer->congested;
}

void peer_flush(struct peer *peer)
{
    publish(peer);
    check_congestion(peer);
}

/* ------------------------------------------------------------------------------------ life */

void peer_meet(struct peer *peer)
{
    early_hear(peer->link);
    drivers_check(peer->link->dispatch);
    ports_meet(peer->link->dispatch, peer);
    ports_touch_closed(peer->link->dispatch);
}

static void on_follow(void *arg, enum bus_event event, struct span payload)
{
    struct peer *peer = arg;
    (void)payload;
    if (event == BUS_READY) {
        peer->reachable = true;
        if (peer->link->unanswered) {
            link_lost(peer->link); /* they learn it by the epoch */
        }
        peer_meet(peer);
    } else if (event == BUS_GAP) {
        peer->reachable = false;
        link_lost(peer->link);
    }
}

struct peer *peer_find(const struct link *link, struct span name)
{
    struct map_node *node = map_find(&link->peers, name);
    return node != NULL ? MAP_ENTRY(node, struct peer, node) : NULL;
}

struct peer *peer_get(struct link *link, struct span name)
{
    struct peer *peer = peer_find(link, name);
    if (peer != NULL) {
        return peer;
    }
    peer = mem_zalloc(sizeof *peer + name.len);
    memcpy(peer->name, name.ptr, name.len);
    peer->link = link;
    list_init(&peer->parcels);
    map_init(&peer->legs);
    map_insert(&link->peers, &peer->node, span_of(peer->name, name.len));
    peer_topic(name, &peer->topic);
    peer->follow = bus_follow(link_store(link), buf_span(&peer->topic), on_follow, peer);
    return peer;
}

void peer_free(struct peer *peer)
{
    map_remove(&peer->link->peers, &peer->node);
    bus_unsubscribe(&peer->follow);
    peer_drop_queued(peer);
    map_deinit(&peer->legs);
    buf_free(&peer->topic);
    buf_free(&peer->out);
    free(peer);
}

struct span peer_name(const struct peer *peer)
{
    return map_key(&peer->node);
}

uint64_t peer_epoch(const struct peer *peer)
{
    return peer->epoch;
}
