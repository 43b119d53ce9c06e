/* SPDX-License-Identifier: MIT */
/* The other nodes. Each hears its own topic; the roster says which nodes speak there, and since
 * when.
 *
 *     roster "dispatch:nodes"        node -> "<number> <epoch>"; then "deaf" while the node does not
 *                                    hear its topic, and should be given no device; then
 *                                    "<name>=<losses>" for each node to which bytes may have been lost
 *     topic  "dispatch:node:<name>"  messages of node/service/dispatch/mesh/message.h
 *
 * A topic is on one server of the store. Whenever bytes to this node may have been lost (the link to
 * the server of its own topic fell) it ends all devices that it shares with others and raises its
 * epoch. Whenever bytes to one other node may have been lost (the link to the server of that node's
 * topic fell, a message found no room) it ends what it shares with that node and counts a loss of
 * this way. Epoch and losses together are the epoch that the other node sees in the roster, however
 * late, and it ends what both share since before. Sequence numbers find what is lost in any other
 * way. So a stream is cut where it may have a hole, on both sides, whatever message is lost, and
 * others go on.
 *
 * The number makes ids unique: a node uses it once a view that has its own claim shows no other
 * node with the same. Claims are in one order for all, so of two that chose alike the later one
 * gives way. */
#include "node/core/log.h"
#include "node/service/dispatch/mesh/node.h"
#include "node/service/dispatch/port/port.h"
#include "store/base/decimal.h"
#include "store/base/entropy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    NUMBER_BITS = 21, /* with 32 of the counter ids stay below 2^53 */
    WAYS_MOST = 256,  /* told apart; then all have a new epoch */
};

#define NODES_KEY SPAN("dispatch:nodes")
#define DEAF "deaf"

/* ------------------------------------------------------------------------------------ faults */

static void claim(struct mesh *mesh)
{
    struct buf value = {0};
    buf_printf(&value, "%" PRIu32 " %" PRIu64 "%s", mesh->number, mesh->epoch,
               mesh->hearing ? "" : " " DEAF);
    MAP_EACH(it, &mesh->ways) {
        buf_printf(&value, " %.*s=%" PRIu64, SPAN_ARG(map_key(it)),
                   MAP_ENTRY(it, struct mesh_way, entry)->losses);
    }
    roster_claim(dispatch_mesh_store(mesh), NODES_KEY, dispatch_mesh_name(mesh), buf_span(&value));
    buf_free(&value);
}

uint64_t dispatch_mesh_epoch_for(const struct mesh *mesh, struct span name)
{
    struct map_node *found = map_find(&mesh->ways, name);
    return mesh->epoch + (found != NULL ? MAP_ENTRY(found, struct mesh_way, entry)->losses : 0);
}

/* The epoch of all is raised so far that it is above every one that was seen. */
static void forget_ways(struct mesh *mesh)
{
    uint64_t most = 0;
    MAP_EACH(it, &mesh->ways) {
        struct mesh_way *way = MAP_ENTRY(it, struct mesh_way, entry);
        most = way->losses > most ? way->losses : most;
        map_remove(&mesh->ways, &way->entry);
        free(way);
    }
    mesh->epoch += most;
}

void dispatch_mesh_way_lost(struct mesh_node *node)
{
    struct mesh *mesh = node->mesh;
    uint64_t cut = metrics_of(mesh->dispatch)->value[METRIC_DISPATCH_CUT];
    if (mesh->ways.count >= WAYS_MOST) {
        forget_ways(mesh);
        dispatch_mesh_lost(mesh);
        return;
    }
    dispatch_mesh_node_drop_queued(node); /* it was said in the epoch that ends */
    struct span name = dispatch_mesh_node_name(node);
    struct map_node *found = map_find(&mesh->ways, name);
    struct mesh_way *way;
    if (found != NULL) {
        way = MAP_ENTRY(found, struct mesh_way, entry);
    } else {
        way = mem_zalloc(sizeof(*way) + name.len);
        memcpy(way->name, name.ptr, name.len);
        map_insert(&mesh->ways, &way->entry, span_of(way->name, name.len));
    }
    way->losses++;
    claim(mesh);
    dispatch_legs_cut(node, UINT64_MAX, "bytes to its node may be lost");
    cut = metrics_of(mesh->dispatch)->value[METRIC_DISPATCH_CUT] - cut;
    if (cut > 0) {
        log_warn("bytes to a node may be lost, devices cut off",
                 LOG_SPAN_FIELD("node", dispatch_mesh_node_name(node)),
                 LOG_NUMBER_FIELD("devices", cut));
    }
}

void dispatch_mesh_lost(struct mesh *mesh)
{
    uint64_t cut = metrics_of(mesh->dispatch)->value[METRIC_DISPATCH_CUT];
    dispatch_inbound_drop_early(mesh);
    mesh->unanswered = false;
    MAP_EACH(it, &mesh->nodes) { /* what is queued was said in the epoch that ends */
        dispatch_mesh_node_drop_queued(MAP_ENTRY(it, struct mesh_node, entry));
    }
    mesh->epoch++;
    claim(mesh);
    MAP_EACH(it, &mesh->nodes) {
        dispatch_legs_cut(MAP_ENTRY(it, struct mesh_node, entry), UINT64_MAX,
                          "bytes between nodes may be lost");
    }
    cut = metrics_of(mesh->dispatch)->value[METRIC_DISPATCH_CUT] - cut;
    if (cut > 0) {
        log_warn("bytes between nodes may be lost, devices cut off",
                 LOG_NUMBER_FIELD("devices", cut));
    }
}

void dispatch_mesh_flush(struct mesh *mesh)
{
    MAP_EACH(it, &mesh->nodes) {
        struct mesh_node *node = MAP_ENTRY(it, struct mesh_node, entry);
        dispatch_mesh_node_flush(node);
        if (node->failed) {
            node->failed = false;
            dispatch_mesh_way_lost(node);
            loop_again(net_loop(mesh->dispatch->options.net));
        }
    }
}

/* ------------------------------------------------------------------------------------ hearing */

/* Nothing stands in the way of speaking to other nodes any more. */
static void look_around(struct mesh *mesh)
{
    dispatch_inbound_hear_early(mesh);
    MAP_EACH(it, &mesh->nodes) {
        struct mesh_node *node = MAP_ENTRY(it, struct mesh_node, entry);
        if (node->reachable) {
            dispatch_ports_meet(mesh->dispatch, node);
        }
    }
    dispatch_drivers_touch(mesh->dispatch);
    dispatch_ports_touch_closed(mesh->dispatch);
}

static void on_own_topic(void *arg, enum bus_event event, struct span payload)
{
    struct mesh *mesh = arg;
    if (event == BUS_MESSAGE) {
        dispatch_inbound_hear(mesh, payload);
    } else if (event == BUS_READY) {
        /* A node that knows of our drivers may have spoken before this: it takes it back by the
         * epoch. */
        mesh->hearing = true;
        dispatch_mesh_lost(mesh);
        look_around(mesh);
    } else {
        mesh->hearing = false;
        dispatch_mesh_lost(mesh);
    }
}

/* ------------------------------------------------------------------------------------ roster */

struct standing {
    uint32_t number;
    uint64_t epoch;
    bool deaf;
};

/* What the roster says of another node, its epoch as it counts for the node of that name. */
static struct standing read_standing(struct span value, struct span own)
{
    struct standing standing = {0};
    uint64_t number;
    standing.number =
        decimal_read(span_cut(&value, ' '), UINT32_MAX, &number) ? (uint32_t)number : 0;
    standing.epoch = decimal_read(span_cut(&value, ' '), UINT64_MAX, &number) ? number : 0;
    while (value.len > 0) {
        struct span losses = span_cut(&value, ' ');
        standing.deaf |= span_eq(losses, SPAN(DEAF));
        if (span_eq(span_cut(&losses, '='), own) && decimal_read(losses, UINT64_MAX, &number)) {
            standing.epoch += number;
        }
    }
    return standing;
}

struct rivals {
    const struct mesh *mesh;
    bool found;
};

static void look_for_rival(void *arg, const struct roster_member *member)
{
    struct rivals *rivals = arg;
    rivals->found |= !span_eq(member->name, dispatch_mesh_name(rivals->mesh)) &&
                     read_standing(member->value, dispatch_mesh_name(rivals->mesh)).number ==
                         rivals->mesh->number;
}

static void choose_number(struct mesh *mesh)
{
    mesh->number = 1 + (uint32_t)entropy_below((1U << NUMBER_BITS) - 1);
    claim(mesh);
}

/* The view has our claim in it. */
static void settle(struct mesh *mesh)
{
    struct rivals rivals = {.mesh = mesh};
    struct span value;
    if (mesh->settled || !roster_find(mesh->roster, dispatch_mesh_name(mesh), &value)) {
        return;
    }
    roster_each(mesh->roster, look_for_rival, &rivals);
    if (rivals.found || read_standing(value, dispatch_mesh_name(mesh)).number != mesh->number) {
        choose_number(mesh);
        return;
    }
    mesh->settled = true;
    look_around(mesh);
}

static void on_place_gone(struct mesh *mesh, struct span name)
{
    struct mesh_node *node = dispatch_mesh_node_find(mesh, name);
    if (!span_eq(name, dispatch_mesh_name(mesh))) {
        if (node != NULL) {
            /* Its lease ran out, or it left: its devices are gone, and so are its drivers. */
            node->reachable = false;
            dispatch_legs_end(node);
            dispatch_mesh_node_free(node);
            dispatch_drivers_touch(mesh->dispatch);
        }
    } else if (!mesh->dispatch->draining) {
        dispatch_mesh_lost(mesh); /* this process stood still: the others have given it up */
    }
}

static void on_nodes(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct mesh *mesh = arg;
    switch (event) {
    case ROSTER_SET:
        if (span_eq(member->name, dispatch_mesh_name(mesh))) {
            /* This node's own place, as the others see it. */
            mesh->told = !read_standing(member->value, dispatch_mesh_name(mesh)).deaf;
            dispatch_drivers_touch(mesh->dispatch);
        } else {
            struct mesh_node *node = dispatch_mesh_node_get(mesh, member->name);
            struct standing standing = read_standing(member->value, dispatch_mesh_name(mesh));
            bool again = node->deaf && !standing.deaf;
            node->epoch = standing.epoch;
            node->deaf = standing.deaf;
            dispatch_legs_cut(node, node->epoch, "a node lost bytes");
            if (again && node->reachable) {
                dispatch_mesh_node_meet(node);
            }
        }
        break;
    case ROSTER_GONE:
        on_place_gone(mesh, member->name);
        break;
    case ROSTER_CURRENT:
        settle(mesh);
        break;
    case ROSTER_CHANGED:
    case ROSTER_STALE:
        break;
    }
}

/* ------------------------------------------------------------------------------------ the rest */

uint64_t dispatch_mesh_new_id(struct mesh *mesh)
{
    return (uint64_t)mesh->number << 32 | mesh->counter++;
}

bool dispatch_mesh_is_ready(const struct mesh *mesh)
{
    bool ready = mesh->settled && mesh->hearing && mesh->told;
    MAP_EACH(it, &mesh->nodes) {
        ready = ready && MAP_ENTRY(it, struct mesh_node, entry)->reachable;
    }
    return ready;
}

struct mesh_node *dispatch_mesh_node_ready(struct mesh *mesh, struct span name)
{
    struct mesh_node *node = dispatch_mesh_node_find(mesh, name);
    bool open = node != NULL && node->reachable && !node->deaf;
    return open && mesh->settled && mesh->hearing ? node : NULL;
}

void dispatch_mesh_init(struct dispatch *dispatch)
{
    struct mesh *mesh = mem_zalloc(sizeof(*mesh));
    struct buf topic = {0};
    dispatch->mesh = mesh;
    mesh->dispatch = dispatch;
    mesh->epoch = 1;
    map_init(&mesh->nodes);
    map_init(&mesh->ways);
    dispatch_inbound_init(mesh);
    dispatch_mesh_node_topic(dispatch_mesh_name(mesh), &topic);
    mesh->own =
        bus_subscribe(dispatch_mesh_store(mesh), buf_span(&topic), BUS_NO_ECHO, on_own_topic, mesh);
    mesh->roster = roster_watch(dispatch_mesh_store(mesh), NODES_KEY, on_nodes, mesh);
    choose_number(mesh);
    buf_free(&topic);
}

void dispatch_mesh_deinit(struct dispatch *dispatch)
{
    struct mesh *mesh = dispatch->mesh;
    dispatch_inbound_drop_early(mesh);
    roster_unwatch(&mesh->roster);
    bus_unsubscribe(&mesh->own);
    MAP_EACH(it, &mesh->nodes) {
        dispatch_mesh_node_free(MAP_ENTRY(it, struct mesh_node, entry));
    }
    map_deinit(&mesh->nodes);
    forget_ways(mesh);
    map_deinit(&mesh->ways);
    free(mesh);
    dispatch->mesh = NULL;
}
