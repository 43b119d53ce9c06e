/* SPDX-License-Identifier: MIT */
#include "node/service/relay/network.h"

#include "node/core/log.h"
#include "node/net/work.h"
#include "node/service/relay/early.h"
#include "node/service/relay/packet.h"
#include "store/base/clock.h"
#include "store/base/decimal.h"
#include "store/base/entropy.h"
#include "store/base/map.h"
#include "store/base/timer.h"
#include "store/bus.h"
#include "store/roster/roster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Key of the roster and topic of the packets. */
#define KEY_PREFIX SPAN("relay:")

enum {
    ID_TEXT = 24,
    STRETCH = 10,         /* seconds' worth of joins at once */
    CLAIMED_PER_STEP = 8, /* seats */
    HELD_BACK_MS = 100,   /* between two looks at those that the rates of joins hold back */
};

static const uint64_t ID_BOUND = (uint64_t)1 << 53;

struct relay_network {
    struct relay_network_options options;
    struct buf key; /* KEY_PREFIX and the name */
    struct map directory;
    struct map seats;       /* all that are connected here, by identifier */
    struct relay_room room; /* seats that are admitted */
    struct list unclaimed;  /* seats to be claimed when the bus reaches this node; by seat.entry, */
    struct list held_back;  /* as are those that the rates of joins hold back, */
    struct list waiting;    /* those that are claimed, and not yet admitted, */
    struct list admitted;   /* and those in the room */
    struct bus_sub *packets; /* while there is a seat */
    struct limit_table *joins;
    struct net_work claims;     /* of seats that are unclaimed */
    struct net_work admissions; /* of seats that wait and that the view has */
    struct event *look_again;   /* pending while seats are held back */
    bool hearing;               /* packets of other nodes arrive, so seats may be claimed */
    struct roster_watch *watch;
    struct relay_early early;
};

struct span relay_network_name(const struct relay_network *network)
{
    return span_skip(buf_span(&network->key), KEY_PREFIX.len);
}

static struct span id_text(uint64_t id, char out[static ID_TEXT])
{
    return span_of(out, (size_t)snprintf(out, ID_TEXT, "%" PRIu64, id));
}

/* 0 where it is none. */
static uint64_t read_number(struct span text)
{
    uint64_t number;
    return decimal_read(text, INT64_MAX, &number) ? number : 0;
}

/* ------------------------------------------------------------------------------------ directory */

static struct relay_server *find(const struct relay_network *network, uint64_t id)
{
    struct map_node *node = map_find(&network->directory, span_of(&id, sizeof(id)));
    return node != NULL ? MAP_ENTRY(node, struct relay_server, entry) : NULL;
}

static struct relay_seat *find_seat(const struct relay_network *network, uint64_t id)
{
    struct map_node *node = map_find(&network->seats, span_of(&id, sizeof(id)));
    return node != NULL ? MAP_ENTRY(node, struct relay_seat, by_id) : NULL;
}

/* A server's value in the roster: "node players look". */
static struct relay_server *add_server(struct relay_network *network, uint64_t id,
                                       struct span value)
{
    struct relay_server *server = mem_zalloc(sizeof(*server));
    server->value = mem_dup(value);
    struct span rest = span_of(server->value, value.len);
    server->id = id;
    server->node = span_cut(&rest, ' ');
    server->players = read_number(span_cut(&rest, ' '));
    server->look = rest;
    relay_print_known(id, rest, &server->known);
    if (span_eq(server->node, span_str(network->options.node))) {
        server->seat = find_seat(network, id);
    }
    map_insert(&network->directory, &server->entry, span_of(&server->id, sizeof(server->id)));
    return server;
}

static bool is_admitted(const struct relay_seat *seat)
{
    return !list_empty(&seat->member.entry);
}

static void remove_server(struct relay_network *network, struct relay_server *server)
{
    map_remove(&network->directory, &server->entry);
    free(server->value);
    buf_free(&server->known);
    free(server);
}

/* To all in the room but the seat that the packet is about, which may still be here. */
static void tell_room(struct relay_network *network, struct buf *packet,
                      struct relay_paced_mark mark, struct relay_seat *about)
{
    const struct relay_receiver *except =
        about != NULL && is_admitted(about) ? &about->member : NULL;
    relay_room_send(&network->room, buf_span(packet), mark, except);
    buf_free(packet);
}

static struct relay_paced_mark mark_of(uint64_t id, enum relay_paced_kind kind)
{
    return (struct relay_paced_mark){.topic = id, .kind = kind};
}

static void on_gone(struct relay_network *network, struct relay_server *server)
{
    struct buf packet = {0};
    struct relay_seat *seat = server->seat;
    relay_print_disconnect(server->id, &packet);
    tell_room(network, &packet, mark_of(server->id, PACED_END), seat);
    remove_server(network, server);
    if (seat != NULL && is_admitted(seat)) {
        relay_seat_listed(seat, false); /* pruned: the claim's renewal will bring it back */
    }
}

/* Random, so that two nodes that choose at once choose differently. The seat has none. */
static void choose_id(struct relay_network *network, struct relay_seat *seat)
{
    do {
        seat->id = 1 + entropy_below(ID_BOUND - 1);
    } while (find(network, seat->id) != NULL || find_seat(network, seat->id) != NULL);
    map_insert(&network->seats, &seat->by_id, span_of(&seat->id, sizeof(seat->id)));
}

/* Each join costs every server of the network two packets, so that one that comes and goes all the
 * time would take the chat from all others. */
static bool may_join(struct relay_seat *seat)
{
    static const struct address anybody;
    struct relay_network *network = seat->network;
    uint64_t now = clock_monotonic_us();
    seat->paid = seat->paid || limit_table_take(network->options.by_address, &seat->peer, 1, now);
    return seat->paid && limit_table_take(network->joins, &anybody, 1, now);
}

static void claim(struct relay_network *network, struct relay_seat *seat)
{
    char text[ID_TEXT];
    struct buf value = {0};
    seat->claimed_ms = clock_monotonic_ms();
    seat->claimed = true;
    buf_printf(&value, "%s %" PRIu64 " %s", network->options.node, seat->players, seat->look);
    roster_claim(network->options.store, buf_span(&network->key), id_text(seat->id, text),
                 buf_span(&value));
    buf_free(&value);
}

/* The seat stands in any of the lists of those that are not admitted. */
static void ask_for(struct relay_network *network, struct relay_seat *seat)
{
    list_del(&seat->entry);
    if (!network->hearing) {
        list_push_back(&network->unclaimed, &seat->entry);
    } else if (relay_seat_has_left(seat) || !(seat->claimed || may_join(seat))) {
        list_push_back(&network->held_back, &seat->entry);
    } else {
        list_push_back(&network->waiting, &seat->entry);
        claim(network, seat);
    }
    if (!list_empty(&network->held_back) && !evtimer_pending(network->look_again, NULL)) {
        timer_after(network->look_again, HELD_BACK_MS);
    }
}

/* A net_work. */
static bool ask_for_some(struct net_work *work)
{
    struct relay_network *network = CONTAINER_OF(work, struct relay_network, claims);
    for (int left = CLAIMED_PER_STEP; left > 0 && !list_empty(&network->unclaimed); left--) {
        if (!network->hearing) {
            return false;
        }
        ask_for(network, LIST_ITEM(network->unclaimed.next, struct relay_seat, entry));
    }
    return !list_empty(&network->unclaimed);
}

/* Those that were held back come behind those that are to be asked for. */
static void ask_for_all(struct relay_network *network)
{
    list_splice(&network->unclaimed, &network->held_back);
    if (network->hearing) {
        net_work_queue(network->options.net, &network->claims);
    }
}

static void on_look_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    ask_for_all(arg);
}

bool relay_network_is_held_back(const struct relay_seat *seat)
{
    return seat->network != NULL && seat->network->hearing && !seat->claimed;
}

/* Another node chose the same identifier at the same moment, and its claim came later. Each of the
 * two nodes may see it so; then both servers get others. */
static void yield_id(struct relay_network *network, struct relay_seat *seat)
{
    char text[ID_TEXT];
    log_warn("relay identifier taken twice", LOG_NUMBER_FIELD("identifier", seat->id));
    roster_release(network->options.store, buf_span(&network->key), id_text(seat->id, text));
    if (is_admitted(seat)) {
        relay_seat_displaced(seat);
    } else {
        map_remove(&network->seats, &seat->by_id);
        choose_id(network, seat);
        ask_for(network, seat);
    }
}

static void on_set(struct relay_network *network, uint64_t id, struct span value)
{
    struct relay_server *server = find(network, id);
    struct buf packet = {0};
    if (server != NULL) {
        on_gone(network, server); /* it is another server now */
    }
    server = add_server(network, id, value);
    struct relay_seat *mine = find_seat(network, id);
    if (mine != NULL && server->seat == NULL) {
        yield_id(network, mine);
    }
    relay_print_connection(server, &packet);
    tell_room(network, &packet, mark_of(id, PACED_BEGIN), server->seat);
    relay_early_send(&network->early, id, clock_monotonic_ms(), &network->room);
    if (server->seat != NULL && is_admitted(server->seat)) {
        relay_seat_listed(server->seat, true);
    }
}

/* The first seat that waits and that the view has; NULL: none. */
static struct relay_seat *first_listed(struct relay_network *network)
{
    LIST_EACH(it, &network->waiting) {
        struct relay_seat *seat = LIST_ITEM(it, struct relay_seat, entry);
        const struct relay_server *server = find(network, seat->id);
        if (server != NULL && server->seat == seat && !relay_seat_has_left(seat)) {
            return seat;
        }
    }
    return NULL;
}

/* A net_work. The seat gets the directory as it is then, and is told of each change from there on. */
static bool admit_next(struct net_work *work)
{
    struct relay_network *network = CONTAINER_OF(work, struct relay_network, admissions);
    struct relay_seat *seat = first_listed(network);
    if (seat == NULL) {
        return false;
    }
    list_del(&seat->entry);
    list_push_back(&network->admitted, &seat->entry);
    relay_room_add(&network->room, &seat->member, seat->out);
    relay_seat_admitted(seat);
    return true;
}

static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct relay_network *network = arg;
    uint64_t id;
    struct relay_server *server;
    loop_awake(net_loop(network->options.net));
    switch (event) {
    case ROSTER_SET:
        id = read_number(member->name);
        if (id != 0) {
            on_set(network, id, member->value);
        }
        break;
    case ROSTER_GONE:
        server = find(network, read_number(member->name));
        if (server != NULL) {
            on_gone(network, server);
        }
        break;
    case ROSTER_CHANGED:
        net_work_queue(network->options.net, &network->admissions);
        break;
    case ROSTER_CURRENT:
    case ROSTER_STALE:
        break;
    }
}

/* ------------------------------------------------------------------------------------ packets */

/* Those that are claimed stay so. Their time for an answer counts from here. */
static void restart_waiting(struct relay_network *network)
{
    uint64_t now = clock_monotonic_ms();
    LIST_EACH(it, &network->waiting) {
        LIST_ITEM(it, struct relay_seat, entry)->claimed_ms = now;
    }
}

/* On the bus: "identifier packet". */
static void on_packet(void *arg, enum bus_event event, struct span payload)
{
    struct relay_network *network = arg;
    loop_awake(net_loop(network->options.net));
    if (event != BUS_MESSAGE) {
        /* The bus reaches this node, or no longer: seats that wait claim only while it does. */
        network->hearing = event == BUS_READY;
        if (network->hearing) {
            restart_waiting(network);
        }
        ask_for_all(network);
        return;
    }
    uint64_t sender = read_number(span_cut(&payload, ' '));
    if (find(network, sender) != NULL) {
        relay_room_send(&network->room, payload, mark_of(sender, PACED_TALK), NULL);
    } else if (network->room.count > 0 && sender != 0) {
        metrics_add(network->options.metrics, METRIC_RELAY_HELD, 1);
        metrics_add(network->options.metrics, METRIC_RELAY_UNKNOWN,
                    relay_early_add(&network->early, sender, payload, clock_monotonic_ms()));
    }
}

void relay_network_say(struct relay_seat *seat, struct span packet)
{
    struct relay_network *network = seat->network;
    struct buf payload = {0};
    metrics_add(network->options.metrics, METRIC_RELAY_PACKETS, 1);
    relay_room_send(&network->room, packet, mark_of(seat->id, PACED_TALK), &seat->member);
    buf_printf(&payload, "%" PRIu64 " ", seat->id);
    buf_append(&payload, packet);
    /* Even when the view has no other node: one that is on the way into it hears this node already.
     * A link that is down has been reported. */
    if (bus_publish(network->options.store, buf_span(&network->key), buf_span(&payload)) != 0) {
        metrics_add(network->options.metrics, METRIC_RELAY_UNSENT, 1);
    }
    buf_free(&payload);
}

/* ------------------------------------------------------------------------------------ seats */

void relay_network_join(struct relay_network *network, struct relay_seat *seat,
                        struct relay_paced *out, const struct address *peer, struct span look,
                        uint64_t players)
{
    seat->network = network;
    seat->out = out;
    seat->players = players;
    seat->look = mem_dup(look);
    seat->peer = *peer;
    seat->claimed = seat->paid = false;
    list_init(&seat->member.entry);
    choose_id(network, seat);
    list_init(&seat->entry);
    ask_for(network, seat);
    if (network->packets == NULL) {
        /* Heard before claimed: a seat that is admitted misses none of the packets. */
        network->packets = bus_subscribe(network->options.store, buf_span(&network->key),
                                         BUS_NO_ECHO, on_packet, network);
    }
}

void relay_network_tell_rest(struct relay_seat *seat)
{
    if (seat->network != NULL && is_admitted(seat)) {
        relay_room_tell_rest(&seat->network->room, &seat->member);
    }
}

void relay_network_leave(struct relay_seat *seat)
{
    struct relay_network *network = seat->network;
    char text[ID_TEXT];
    if (network == NULL) {
        return;
    }
    struct relay_server *server = find(network, seat->id);
    if (server != NULL && server->seat == seat) {
        server->seat = NULL;
    }
    if (is_admitted(seat)) {
        relay_room_remove(&network->room, &seat->member);
    }
    list_del(&seat->entry);
    map_remove(&network->seats, &seat->by_id);
    roster_release(network->options.store, buf_span(&network->key), id_text(seat->id, text));
    seat->network = NULL;
    free(seat->look);
    if (network->seats.count == 0) {
        bus_unsubscribe(&network->packets);
        network->hearing = false;
        relay_early_deinit(&network->early);
    }
}

/* ------------------------------------------------------------------------------------ life */

struct relay_network *relay_network_new(struct span name,
                                        const struct relay_network_options *options)
{
    struct relay_network *network = mem_zalloc(sizeof(*network));
    network->options = *options;
    buf_append(&network->key, KEY_PREFIX);
    buf_append(&network->key, name);
    map_init(&network->directory);
    map_init(&network->seats);
    relay_room_init(&network->room, options->net, options->metrics);
    list_init(&network->unclaimed);
    list_init(&network->held_back);
    list_init(&network->waiting);
    list_init(&network->admitted);
    relay_early_init(&network->early);
    network->joins = limit_table_new(options->joins, options->joins * STRETCH);
    net_work_init(&network->claims, ask_for_some);
    net_work_init(&network->admissions, admit_next);
    network->look_again = evtimer_new(loop_base(net_loop(options->net)), on_look_again, network);
    network->watch = roster_watch(options->store, buf_span(&network->key), on_roster, network);
    return network;
}

void relay_network_free(struct relay_network **network)
{
    struct relay_network *gone = *network;
    if (gone == NULL) {
        return;
    }
    *network = NULL;
    roster_unwatch(&gone->watch);
    bus_unsubscribe(&gone->packets);
    MAP_EACH(it, &gone->directory) {
        remove_server(gone, MAP_ENTRY(it, struct relay_server, entry));
    }
    map_deinit(&gone->directory);
    map_deinit(&gone->seats);
    relay_room_deinit(&gone->room);
    relay_early_deinit(&gone->early);
    limit_table_free(&gone->joins);
    net_work_cancel(&gone->claims);
    net_work_cancel(&gone->admissions);
    event_free(gone->look_again);
    buf_free(&gone->key);
    free(gone);
}

const struct map *relay_network_directory(const struct relay_network *network)
{
    return &network->directory;
}

uint32_t relay_network_admitted(const struct relay_network *network)
{
    return network->room.count;
}

const struct list *relay_network_seats(const struct relay_network *network)
{
    return &network->admitted;
}
