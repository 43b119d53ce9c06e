/* SPDX-License-Identifier: MIT */
#include "node/service/relay/network.h"

#include "node/core/log.h"
#include "node/service/relay/early.h"
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
    STRETCH = 10,       /* seconds' worth of joins at once */
    HELD_BACK_MS = 100, /* between two looks at the seats that the rates of joins hold back */
};

static const uint64_t ID_BOUND = (uint64_t)1 << 53;

/* A server in the directory. */
struct relay_entry {
    struct map_node node; /* by the bytes of server.id */
    struct relay_server server;
    char *value;             /* what the server's spans lie in */
    struct relay_seat *seat; /* connected here, or NULL */
    struct relay_room *room; /* of the network */
};

struct relay_network {
    struct relay_network_options options;
    struct buf key; /* KEY_PREFIX and the name */
    struct map directory;
    struct relay_room room;  /* seats that are admitted */
    struct list waiting;     /* seats that are not yet; by seat.link */
    struct list seats;       /* seats in the room; by seat.link */
    struct bus_sub *packets; /* while there is a seat */
    struct limit_table *joins;
    struct event *held_back; /* pending while the rates of joins hold a seat back */
    bool hearing;            /* packets of other nodes arrive, so seats may be claimed */
    struct roster_watch *watch;
    struct relay_held held;
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

static struct relay_entry *find(const struct relay_network *network, uint64_t id)
{
    struct map_node *node = map_find(&network->directory, span_of(&id, sizeof(id)));
    return node != NULL ? MAP_ENTRY(node, struct relay_entry, node) : NULL;
}

static struct relay_seat *seat_in(struct list *seats, uint64_t id)
{
    LIST_EACH(it, seats) {
        struct relay_seat *seat = LIST_ITEM(it, struct relay_seat, entry);
        if (seat->id == id) {
            return seat;
        }
    }
    return NULL;
}

static struct relay_seat *find_seat(struct relay_network *network, uint64_t id)
{
    struct relay_seat *seat = seat_in(&network->waiting, id);
    return seat != NULL ? seat : seat_in(&network->seats, id);
}

static bool is_own(const struct relay_network *network, struct span node)
{
    return span_eq(node, span_str(network->options.node));
}

/* A server's value in the roster: "node players look". */
static struct relay_entry *entry_new(struct relay_network *network, uint64_t id, struct span value)
{
    struct relay_entry *entry = mem_zalloc(sizeof(*entry));
    entry->value = mem_dup(value);
    struct span rest = span_of(entry->value, value.len);
    entry->server.id = id;
    entry->room = &network->room;
    entry->server.node = span_cut(&rest, ' ');
    entry->server.players = read_number(span_cut(&rest, ' '));
    entry->server.look = rest;
    if (is_own(network, entry->server.node)) {
        entry->seat = find_seat(network, id);
    }
    map_insert(&network->directory, &entry->node,
               span_of(&entry->server.id, sizeof(entry->server.id)));
    return entry;
}

static void entry_free(struct relay_network *network, struct relay_entry *entry)
{
    map_remove(&network->directory, &entry->node);
    free(entry->value);
    free(entry);
}

/* To all in the room but the seat that the packet is about, which may still be here. */
static void tell_room(struct relay_network *network, struct buf *packet,
                      struct relay_paced_mark mark, struct relay_seat *about)
{
    const struct relay_receiver *except = about != NULL && about->in_room ? &about->member : NULL;
    relay_room_send(&network->room, buf_span(packet), mark, except);
    buf_free(packet);
}

static struct relay_paced_mark mark_of(uint64_t id, enum relay_paced_kind kind)
{
    return (struct relay_paced_mark){.topic = id, .kind = kind};
}

static void deliver_held(void *arg, struct span packet)
{
    const struct relay_entry *sender = arg;
    relay_room_send(sender->room, packet, mark_of(sender->server.id, PACED_TALK), NULL);
}

static void on_gone(struct relay_network *network, struct relay_entry *entry)
{
    struct buf packet = {0};
    struct relay_seat *seat = entry->seat;
    network->options.print_departure(entry->server.id, &packet);
    tell_room(network, &packet, mark_of(entry->server.id, PACED_END), seat);
    entry_free(network, entry);
    if (seat != NULL && seat->in_room) {
        network->options.listed(seat, false); /* pruned: the claim's renewal will bring it back */
    }
}

/* Random, so that two nodes that choose at once choose differently. */
static void choose_id(struct relay_network *network, struct relay_seat *seat)
{
    seat->id = 0;
    uint64_t id;
    do {
        id = 1 + entropy_below(ID_BOUND - 1);
    } while (find(network, id) != NULL || find_seat(network, id) != NULL);
    seat->id = id;
}

static void claim(struct relay_seat *seat)
{
    struct relay_network *network = seat->network;
    char text[ID_TEXT];
    struct buf value = {0};
    buf_printf(&value, "%s %" PRIu64 " %s", network->options.node, seat->players, seat->look);
    roster_claim(network->options.store, buf_span(&network->key), id_text(seat->id, text),
                 buf_span(&value));
    buf_free(&value);
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

static void claim_when_allowed(struct relay_seat *seat)
{
    struct relay_network *network = seat->network;
    if (!network->hearing || network->options.has_left(seat)) {
        return;
    }
    if (seat->claimed || may_join(seat)) {
        seat->claimed_ms = clock_monotonic_ms();
        seat->claimed = true;
        claim(seat);
    } else if (!evtimer_pending(network->held_back, NULL)) {
        timer_after(network->held_back, HELD_BACK_MS);
    }
}

static void on_held_back(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct relay_network *network = arg;
    LIST_EACH(it, &network->waiting) {
        struct relay_seat *seat = LIST_ITEM(it, struct relay_seat, entry);
        if (!seat->claimed) {
            claim_when_allowed(seat);
        }
    }
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
    if (seat->in_room) {
        network->options.displaced(seat);
    } else {
        choose_id(network, seat);
        claim_when_allowed(seat);
    }
}

static void on_set(struct relay_network *network, uint64_t id, struct span value)
{
    struct relay_entry *entry = find(network, id);
    struct buf packet = {0};
    if (entry != NULL) {
        on_gone(network, entry); /* it is another server now */
    }
    entry = entry_new(network, id, value);
    struct relay_seat *mine = find_seat(network, id);
    if (mine != NULL && entry->seat == NULL) {
        yield_id(network, mine);
    }
    network->options.print_arrival(&entry->server, &packet);
    tell_room(network, &packet, mark_of(id, PACED_BEGIN), entry->seat);
    relay_held_take(&network->held, id, clock_monotonic_ms(), deliver_held, entry);
    if (entry->seat != NULL && entry->seat->in_room) {
        network->options.listed(entry->seat, true);
    }
}

static void admit(struct relay_network *network, struct relay_seat *seat)
{
    list_del(&seat->entry);
    list_push_back(&network->seats, &seat->entry);
    seat->in_room = true;
    relay_room_add(&network->room, &seat->member, seat->out);
    metrics_add(network->options.metrics, METRIC_RELAY_SERVERS, 1);
    network->options.admitted(seat);
}

/* The view is whole: the seats that it has now get it as it is. */
static void admit_listed(struct relay_network *network)
{
    LIST_EACH(it, &network->waiting) {
        struct relay_seat *seat = LIST_ITEM(it, struct relay_seat, entry);
        const struct relay_entry *entry = find(network, seat->id);
        if (entry != NULL && entry->seat == seat && !network->options.has_left(seat)) {
            admit(network, seat);
        }
    }
}

static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct relay_network *network = arg;
    uint64_t id = event == ROSTER_SET || event == ROSTER_GONE ? read_number(member->name) : 0;
    struct relay_entry *entry = find(network, id);
    if (event == ROSTER_SET && id != 0) {
        on_set(network, id, member->value);
    } else if (event == ROSTER_GONE && entry != NULL) {
        on_gone(network, entry);
    } else if (event == ROSTER_CHANGED) {
        admit_listed(network);
    }
}

/* ------------------------------------------------------------------------------------ packets */

/* The bus reaches this node again, or no longer: seats that wait claim only while it does. */
static void on_hearing(struct relay_network *network, bool hearing)
{
    network->hearing = hearing;
    LIST_EACH(it, &network->waiting) {
        claim_when_allowed(LIST_ITEM(it, struct relay_seat, entry));
    }
}

/* On the bus: "identifier packet". */
static void on_packet(void *arg, enum bus_event event, struct span payload)
{
    struct relay_network *network = arg;
    if (event != BUS_MESSAGE) {
        on_hearing(network, event == BUS_READY);
        return;
    }
    uint64_t sender = read_number(span_cut(&payload, ' '));
    if (find(network, sender) != NULL) {
        relay_room_send(&network->room, payload, mark_of(sender, PACED_TALK), NULL);
    } else if (network->room.count > 0 && sender != 0) {
        metrics_add(network->options.metrics, METRIC_RELAY_HELD, 1);
        metrics_add(network->options.metrics, METRIC_RELAY_UNKNOWN,
                    relay_held_add(&network->held, sender, payload, clock_monotonic_ms()));
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
    seat->in_room = seat->claimed = seat->paid = false;
    choose_id(network, seat);
    list_push_back(&network->waiting, &seat->entry);
    if (network->packets == NULL) {
        /* Heard before claimed: a seat that is admitted misses none of the packets. */
        network->packets = bus_subscribe(network->options.store, buf_span(&network->key),
                                         BUS_NO_ECHO, on_packet, network);
    } else {
        claim_when_allowed(seat);
    }
}

void relay_network_leave(struct relay_seat *seat)
{
    struct relay_network *network = seat->network;
    char text[ID_TEXT];
    if (network == NULL) {
        return;
    }
    struct relay_entry *entry = find(network, seat->id);
    if (entry != NULL && entry->seat == seat) {
        entry->seat = NULL;
    }
    if (seat->in_room) {
        relay_room_remove(&network->room, &seat->member);
        metrics_sub(network->options.metrics, METRIC_RELAY_SERVERS, 1);
    }
    list_del(&seat->entry);
    roster_release(network->options.store, buf_span(&network->key), id_text(seat->id, text));
    seat->network = NULL;
    free(seat->look);
    if (list_empty(&network->waiting) && list_empty(&network->seats)) {
        bus_unsubscribe(&network->packets);
        network->hearing = false;
        relay_held_deinit(&network->held);
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
    relay_room_init(&network->room, options->metrics);
    list_init(&network->waiting);
    list_init(&network->seats);
    relay_held_init(&network->held);
    network->joins = limit_table_new(options->joins, options->joins * STRETCH);
    network->held_back = evtimer_new(loop_base(options->loop), on_held_back, network);
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
        entry_free(gone, MAP_ENTRY(it, struct relay_entry, node));
    }
    map_deinit(&gone->directory);
    relay_held_deinit(&gone->held);
    limit_table_free(&gone->joins);
    event_free(gone->held_back);
    buf_free(&gone->key);
    free(gone);
}

void relay_network_each(const struct relay_network *network,
                        void (*fn)(void *arg, const struct relay_server *server), void *arg)
{
    MAP_EACH(it, &network->directory) {
        fn(arg, &MAP_ENTRY(it, struct relay_entry, node)->server);
    }
}

void relay_network_each_here(const struct relay_network *network,
                             void (*fn)(void *arg, const struct relay_server *server), void *arg)
{
    const struct list *seats = &network->seats;
    for (struct list *link = seats->next; link != seats; link = link->next) {
        const struct relay_seat *seat = LIST_ITEM(link, struct relay_seat, entry);
        const struct relay_server server = {.id = seat->id,
                                            .players = seat->players,
                                            .look = span_str(seat->look),
                                            .node = span_str(network->options.node)};
        fn(arg, &server);
    }
}
