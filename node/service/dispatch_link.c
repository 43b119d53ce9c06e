/* The other nodes. Each hears its own topic; who speaks there, and since when, stands in the
 * roster.
 *
 *     roster "dispatch:nodes"        node -> "<number> <epoch>"
 *     topic  "dispatch:node:<name>"  messages of node/proto/dispatch_mesh.h
 *
 * Whenever bytes between nodes may have been lost - a link to the store fell, a message found no
 * room - the node ends all devices that it shares with others and raises its epoch. The others see
 * the new epoch in the roster, however late, and end what they share with it since before. Sequence
 * numbers find what is lost in any other way. So a stream is cut where it may have a hole, on both
 * sides, whatever message is lost.
 *
 * The number makes ids unique: a node uses it once a view that has its own claim shows no other
 * node with the same. Claims are in one order for all, so of two that chose alike the later one
 * gives way. */
#include "node/core/log.h"
#include "node/service/dispatch_impl.h"
#include "store/base/entropy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    NUMBER_BITS = 21,  /* with 32 of the counter ids stay below 2^53 */
    BATCH = 128 * KIB, /* bytes after which a message is published before the turn ends */
    CONGESTED =
        4 * 1024 * KIB, /* bytes on their way to the store from which nothing more is read */
    RELIEVED = 1024 * KIB,
};

#define NODES_KEY SPAN("dispatch:nodes")

struct link {
    struct dispatch *dispatch;
    struct map peers;
    struct roster_watch *nodes;
    struct bus_sub *own;
    uint32_t number;
    uint32_t counter;
    uint64_t epoch;
    bool settled; /* the number is ours */
    bool hearing; /* our topic */
    bool failed;  /* a message found no room in this turn */
};

struct peer {
    struct map_node node;
    struct link *link;
    uint64_t epoch; /* as in the roster */
    struct bus_sub *follow;
    bool reachable; /* what we lose on the way to it we hear of */
    bool congested;
    struct map legs; /* by id */
    struct buf out;
    struct list parcels; /* struct parcel: the way was full, in order, before what is in `out` */
    struct buf topic;
    char name[];
};

/* A message that waits. Nothing is read for a congested peer, so what many clients had sent in one
 * turn is all that ever waits. */
struct parcel {
    struct list link;
    struct buf text;
};

static struct store *store_of(const struct link *link)
{
    return link->dispatch->options.store;
}

static struct span own_name(const struct link *link)
{
    return span_str(link->dispatch->options.node);
}

static void node_topic(struct span name, struct buf *out)
{
    buf_append(out, SPAN("dispatch:node:"));
    buf_append(out, name);
}

/* ------------------------------------------------------------------------------------ legs */

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

/* ------------------------------------------------------------------------------------ sending */

static size_t queued_to(const struct peer *peer)
{
    return bus_queued(store_of(peer->link), buf_span(&peer->topic));
}

static void hand_over(struct peer *peer, const struct buf *text)
{
    if (peer->reachable &&
        bus_publish(store_of(peer->link), buf_span(&peer->topic), buf_span(text)) != 0) {
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

static void drop_queued(struct peer *peer)
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
        mesh_put_head(&peer->out, &(struct mesh_head){peer->link->epoch, own_name(peer->link)});
        loop_again(net_loop(peer->link->dispatch->options.net));
    }
    mesh_put(&peer->out, frame);
    if (peer->out.len >= BATCH) {
        publish(peer);
    }
}

void leg_send(struct leg *leg, struct mesh_frame frame)
{
    frame.leg = leg->id;
    frame.sequence = leg->sent++;
    peer_send(leg->peer, &frame);
}

/* All devices of its legs may have room again. */
static void wake(struct peer *peer)
{
    MAP_EACH(it, &peer->legs) {
        device_flow(MAP_ENTRY(it, struct leg, node)->device);
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
        wake(peer);
    }
}

bool peer_is_congested(const struct peer *peer)
{
    return peer->congested;
}

/* ------------------------------------------------------------------------------------ faults */

static void claim(struct link *link)
{
    char value[64];
    int len = snprintf(value, sizeof value, "%" PRIu32 " %" PRIu64, link->number, link->epoch);
    roster_claim(store_of(link), NODES_KEY, own_name(link), span_of(value, (size_t)len));
}

static void cut_legs(struct peer *peer, uint64_t before, const char *why)
{
    MAP_EACH(it, &peer->legs) {
        struct leg *leg = MAP_ENTRY(it, struct leg, node);
        if (leg->epoch < before) {
            leg_cut(leg, why);
        }
    }
}

static void on_loss(struct link *link)
{
    uint64_t cut = metrics_of(link->dispatch)->value[METRIC_DISPATCH_CUT];
    MAP_EACH(it, &link->peers) {
        drop_queued(MAP_ENTRY(it, struct peer, node)); /* what is queued was said in that epoch */
    }
    link->epoch++;
    claim(link);
    MAP_EACH(it, &link->peers) {
        cut_legs(MAP_ENTRY(it, struct peer, node), UINT64_MAX, "bytes between nodes may be lost");
    }
    cut = metrics_of(link->dispatch)->value[METRIC_DISPATCH_CUT] - cut;
    if (cut > 0) {
        log_warn("bytes between nodes may be lost, devices cut off",
                 LOG_NUMBER_FIELD("devices", cut));
    }
}

void link_flush(struct link *link)
{
    MAP_EACH(it, &link->peers) {
        struct peer *peer = MAP_ENTRY(it, struct peer, node);
        publish(peer);
        check_congestion(peer);
    }
    if (link->failed) {
        link->failed = false;
        on_loss(link);
        loop_again(net_loop(link->dispatch->options.net));
    }
}

/* ------------------------------------------------------------------------------------ hearing */

/* From a node that cannot be spoken to yet, or of a leg that is no more. */
static void answer_unknown(struct link *link, struct span node, const struct mesh_frame *frame)
{
    bool of_device = frame->type == MESH_OPEN || frame->type == MESH_DATA;
    bool of_driver =
        frame->type == MESH_CREDIT || frame->type == MESH_WRITE || frame->type == MESH_SHUT;
    struct mesh_frame answer = {.type = of_device ? MESH_LOST : MESH_END, .leg = frame->leg};
    struct buf text = {0}, topic = {0};
    if (!of_device && !of_driver) {
        return;
    }
    mesh_put_head(&text, &(struct mesh_head){link->epoch, own_name(link)});
    mesh_put(&text, &answer);
    node_topic(node, &topic);
    if (bus_publish(store_of(link), buf_span(&topic), buf_span(&text)) != 0) {
        link->failed = true;
    }
    buf_free(&topic);
    buf_free(&text);
}

static bool is_of_device(enum mesh_type type)
{
    return type <= MESH_DATAGRAM;
}

static void on_leg_frame(struct peer *peer, const struct mesh_frame *frame)
{
    struct leg *leg = find_leg(peer, frame->leg);
    if (leg == NULL || device_is_here(leg->device) == is_of_device(frame->type)) {
        answer_unknown(peer->link, peer_name(peer), frame);
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

static void on_frame(struct peer *peer, uint64_t epoch, const struct mesh_frame *frame)
{
    struct dispatch *dispatch = peer->link->dispatch;
    if (frame->type == MESH_OPEN) {
        there_open(dispatch, peer, epoch, frame);
    } else if (frame->type == MESH_DATAGRAM) {
        udp_on_remote(dispatch, peer, frame);
    } else if (frame->type == MESH_SEND) {
        udp_on_send(dispatch, frame);
    } else {
        on_leg_frame(peer, frame);
    }
}

static void on_message(struct link *link, struct span message)
{
    struct mesh_head head;
    struct mesh_frame frame;
    if (mesh_read_head(&message, &head) != 0) {
        return; /* of another version, or not of ours at all */
    }
    struct peer *peer = link_peer(link, head.node);
    if (peer != NULL && head.epoch < peer->epoch) {
        return; /* what it was about was cut since */
    }
    while (mesh_next(&message, &frame) > 0) {
        if (peer != NULL) {
            on_frame(peer, head.epoch, &frame);
        } else {
            answer_unknown(link, head.node, &frame);
        }
    }
}

/* A node that knows of our drivers may have spoken before this: it takes it back by the epoch. */
static void on_hearing(struct link *link)
{
    link->hearing = true;
    on_loss(link);
    MAP_EACH(it, &link->peers) {
        struct peer *peer = MAP_ENTRY(it, struct peer, node);
        if (peer->reachable) {
            ports_meet(link->dispatch, peer);
        }
    }
    drivers_check(link->dispatch);
    ports_touch_closed(link->dispatch);
}

static void on_own_topic(void *arg, enum bus_event event, struct span payload)
{
    struct link *link = arg;
    if (event == BUS_MESSAGE) {
        on_message(link, payload);
    } else if (event == BUS_READY) {
        on_hearing(link);
    } else {
        link->hearing = false;
        on_loss(link);
    }
}

/* ------------------------------------------------------------------------------------ peers */

static void on_follow(void *arg, enum bus_event event, struct span payload)
{
    struct peer *peer = arg;
    (void)payload;
    if (event == BUS_READY) {
        peer->reachable = true;
        drivers_check(peer->link->dispatch);
        ports_meet(peer->link->dispatch, peer);
        ports_touch_closed(peer->link->dispatch);
    } else if (event == BUS_GAP) {
        peer->reachable = false;
        on_loss(peer->link);
    }
}

static struct peer *find_peer(const struct link *link, struct span name)
{
    struct map_node *node = map_find(&link->peers, name);
    return node != NULL ? MAP_ENTRY(node, struct peer, node) : NULL;
}

static struct peer *peer_get(struct link *link, struct span name)
{
    struct peer *peer = find_peer(link, name);
    if (peer != NULL) {
        return peer;
    }
    peer = mem_zalloc(sizeof *peer + name.len);
    memcpy(peer->name, name.ptr, name.len);
    peer->link = link;
    list_init(&peer->parcels);
    map_init(&peer->legs);
    map_insert(&link->peers, &peer->node, span_of(peer->name, name.len));
    node_topic(name, &peer->topic);
    peer->follow = bus_follow(store_of(link), buf_span(&peer->topic), on_follow, peer);
    return peer;
}

static void peer_free(struct peer *peer)
{
    map_remove(&peer->link->peers, &peer->node);
    bus_unsubscribe(&peer->follow);
    drop_queued(peer);
    map_deinit(&peer->legs);
    buf_free(&peer->topic);
    buf_free(&peer->out);
    free(peer);
}

/* Its lease ran out, or it left: its devices are gone, and so are its drivers. */
static void peer_gone(struct peer *peer)
{
    peer->reachable = false;
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
    peer_free(peer);
}

/* ------------------------------------------------------------------------------------ roster */

struct standing {
    uint32_t number;
    uint64_t epoch;
};

static struct standing read_standing(struct span value)
{
    char text[64] = "", *end;
    memcpy(text, value.ptr, value.len < sizeof text ? value.len : sizeof text - 1);
    struct standing standing = {.number = (uint32_t)strtoul(text, &end, 10)};
    standing.epoch = strtoull(end, NULL, 10);
    return standing;
}

struct rivals {
    const struct link *link;
    bool found;
};

static void look_for_rival(void *arg, const struct roster_member *member)
{
    struct rivals *rivals = arg;
    rivals->found |= !span_eq(member->name, own_name(rivals->link)) &&
                     read_standing(member->value).number == rivals->link->number;
}

static void choose_number(struct link *link)
{
    link->number = 1 + (uint32_t)entropy_below((1U << NUMBER_BITS) - 1);
    claim(link);
}

/* The view has our claim in it. */
static void settle(struct link *link)
{
    struct rivals rivals = {.link = link};
    struct span value;
    if (link->settled || !roster_find(link->nodes, own_name(link), &value)) {
        return;
    }
    roster_each(link->nodes, look_for_rival, &rivals);
    if (rivals.found || read_standing(value).number != link->number) {
        choose_number(link);
        return;
    }
    link->settled = true;
    drivers_check(link->dispatch);
    ports_touch_closed(link->dispatch);
}

static void on_nodes(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct link *link = arg;
    if (event == ROSTER_CURRENT) {
        settle(link);
    }
    if (event != ROSTER_SET && event != ROSTER_GONE) {
        return;
    }
    if (span_eq(member->name, own_name(link))) {
        if (event == ROSTER_GONE && !link->dispatch->draining) {
            on_loss(link); /* this process stood still: the others have given it up */
        }
    } else if (event == ROSTER_SET) {
        struct peer *peer = peer_get(link, member->name);
        peer->epoch = read_standing(member->value).epoch;
        cut_legs(peer, peer->epoch, "a node lost bytes");
    } else if (find_peer(link, member->name) != NULL) {
        peer_gone(find_peer(link, member->name));
        drivers_check(link->dispatch);
    }
}

/* ------------------------------------------------------------------------------------ the rest */

uint64_t link_new_id(struct link *link)
{
    return (uint64_t)link->number << 32 | link->counter++;
}

bool link_ready(const struct link *link)
{
    bool ready = link->settled && link->hearing;
    MAP_EACH(it, &link->peers) {
        ready = ready && MAP_ENTRY(it, struct peer, node)->reachable;
    }
    return ready;
}

struct peer *link_peer(struct link *link, struct span name)
{
    struct peer *peer = find_peer(link, name);
    return peer != NULL && peer->reachable && link->settled && link->hearing ? peer : NULL;
}

struct span peer_name(const struct peer *peer)
{
    return map_key(&peer->node);
}

uint64_t peer_epoch(const struct peer *peer)
{
    return peer->epoch;
}

void link_init(struct dispatch *dispatch)
{
    struct link *link = mem_zalloc(sizeof *link);
    struct buf topic = {0};
    dispatch->link = link;
    link->dispatch = dispatch;
    link->epoch = 1;
    map_init(&link->peers);
    node_topic(own_name(link), &topic);
    link->own = bus_subscribe(store_of(link), buf_span(&topic), BUS_NO_ECHO, on_own_topic, link);
    link->nodes = roster_watch(store_of(link), NODES_KEY, on_nodes, link);
    choose_number(link);
    buf_free(&topic);
}

void link_deinit(struct dispatch *dispatch)
{
    struct link *link = dispatch->link;
    roster_unwatch(&link->nodes);
    bus_unsubscribe(&link->own);
    MAP_EACH(it, &link->peers) {
        peer_free(MAP_ENTRY(it, struct peer, node));
    }
    map_deinit(&link->peers);
    free(link);
    dispatch->link = NULL;
}
