/* The other nodes. Each hears its own topic; who speaks there, and since when, stands in the
 * roster.
 *
 *     roster "dispatch:nodes"        node -> "<number> <epoch>"; " deaf" behind it while the node
 *                                    does not hear its topic, and should be given no device
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
#include "node/service/dispatch_link_impl.h"
#include "store/base/entropy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_BITS = 21 /* with 32 of the counter ids stay below 2^53 */ };

#define NODES_KEY SPAN("dispatch:nodes")
#define DEAF " deaf"

/* ------------------------------------------------------------------------------------ faults */

static void claim(struct link *link)
{
    char value[64];
    int len = snprintf(value, sizeof value, "%" PRIu32 " %" PRIu64 "%s", link->number, link->epoch,
                       link->hearing ? "" : DEAF);
    roster_claim(link_store(link), NODES_KEY, link_name(link), span_of(value, (size_t)len));
}

void link_lost(struct link *link)
{
    uint64_t cut = metrics_of(link->dispatch)->value[METRIC_DISPATCH_CUT];
    early_drop(link);
    link->unanswered = false;
    MAP_EACH(it, &link->peers) { /* what is queued was said in the epoch that ends */
        peer_drop_queued(MAP_ENTRY(it, struct peer, node));
    }
    link->epoch++;
    claim(link);
    MAP_EACH(it, &link->peers) {
        legs_cut(MAP_ENTRY(it, struct peer, node), UINT64_MAX, "bytes between nodes may be lost");
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
        peer_flush(MAP_ENTRY(it, struct peer, node));
    }
    if (link->failed) {
        link->failed = false;
        link_lost(link);
        loop_again(net_loop(link->dispatch->options.net));
    }
}

/* ------------------------------------------------------------------------------------ hearing */

/* What stood in the way of speaking to others is gone. */
static void look_around(struct link *link)
{
    early_hear(link);
    MAP_EACH(it, &link->peers) {
        struct peer *peer = MAP_ENTRY(it, struct peer, node);
        if (peer->reachable) {
            ports_meet(link->dispatch, peer);
        }
    }
    drivers_check(link->dispatch);
    ports_touch_closed(link->dispatch);
}

/* A node that knows of our drivers may have spoken before this: it takes it back by the epoch. */
static void on_hearing(struct link *link)
{
    link->hearing = true;
    link_lost(link);
    look_around(link);
}

static void on_own_topic(void *arg, enum bus_event event, struct span payload)
{
    struct link *link = arg;
    if (event == BUS_MESSAGE) {
        legs_hear(link, payload);
    } else if (event == BUS_READY) {
        on_hearing(link);
    } else {
        link->hearing = false;
        link_lost(link);
    }
}

/* ------------------------------------------------------------------------------------ roster */

struct standing {
    uint32_t number;
    uint64_t epoch;
    bool deaf;
};

static struct standing read_standing(struct span value)
{
    char text[64] = "", *end;
    memcpy(text, value.ptr, value.len < sizeof text ? value.len : sizeof text - 1);
    struct standing standing = {.number = (uint32_t)strtoul(text, &end, 10)};
    standing.epoch = strtoull(end, &end, 10);
    standing.deaf = strcmp(end, DEAF) == 0;
    return standing;
}

struct rivals {
    const struct link *link;
    bool found;
};

static void look_for_rival(void *arg, const struct roster_member *member)
{
    struct rivals *rivals = arg;
    rivals->found |= !span_eq(member->name, link_name(rivals->link)) &&
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
    if (link->settled || !roster_find(link->nodes, link_name(link), &value)) {
        return;
    }
    roster_each(link->nodes, look_for_rival, &rivals);
    if (rivals.found || read_standing(value).number != link->number) {
        choose_number(link);
        return;
    }
    link->settled = true;
    look_around(link);
}

/* Its lease ran out, or it left: its devices are gone, and so are its drivers. */
static void peer_gone(struct peer *peer)
{
    peer->reachable = false;
    legs_end(peer);
    peer_free(peer);
}

static void on_peer(struct link *link, const struct roster_member *member)
{
    struct peer *peer = peer_get(link, member->name);
    struct standing standing = read_standing(member->value);
    bool again = peer->deaf && !standing.deaf;
    peer->epoch = standing.epoch;
    peer->deaf = standing.deaf;
    legs_cut(peer, peer->epoch, "a node lost bytes");
    if (again && peer->reachable) {
        peer_meet(peer);
    }
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
    if (span_eq(member->name, link_name(link))) {
        if (event == ROSTER_GONE && !link->dispatch->draining) {
            link_lost(link); /* this process stood still: the others have given it up */
        } else if (event == ROSTER_SET) {
            link->told = !read_standing(member->value).deaf;
            drivers_check(link->dispatch);
        }
    } else if (event == ROSTER_SET) {
        on_peer(link, member);
    } else if (peer_find(link, member->name) != NULL) {
        peer_gone(peer_find(link, member->name));
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
    bool ready = link->settled && link->hearing && link->told;
    MAP_EACH(it, &link->peers) {
        ready = ready && MAP_ENTRY(it, struct peer, node)->reachable;
    }
    return ready;
}

struct peer *link_peer(struct link *link, struct span name)
{
    struct peer *peer = peer_find(link, name);
    bool open = peer != NULL && peer->reachable && !peer->deaf;
    return open && link->settled && link->hearing ? peer : NULL;
}

void link_init(struct dispatch *dispatch)
{
    struct link *link = mem_zalloc(sizeof *link);
    struct buf topic = {0};
    dispatch->link = link;
    link->dispatch = dispatch;
    link->epoch = 1;
    map_init(&link->peers);
    early_init(link);
    peer_topic(link_name(link), &topic);
    link->own = bus_subscribe(link_store(link), buf_span(&topic), BUS_NO_ECHO, on_own_topic, link);
    link->nodes = roster_watch(link_store(link), NODES_KEY, on_nodes, link);
    choose_number(link);
    buf_free(&topic);
}

void link_deinit(struct dispatch *dispatch)
{
    struct link *link = dispatch->link;
    early_drop(link);
    roster_unwatch(&link->nodes);
    bus_unsubscribe(&link->own);
    MAP_EACH(it, &link->peers) {
        peer_free(MAP_ENTRY(it, struct peer, node));
    }
    map_deinit(&link->peers);
    free(link);
    dispatch->link = NULL;
}
