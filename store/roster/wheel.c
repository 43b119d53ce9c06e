/* SPDX-License-Identifier: MIT */
/* The wheel: each key stands at a random one of its slots, and the wheel turns once per refresh
 * interval, so that thousands of refreshes are spread evenly over it. The same tick has the beats, and
 * ends what views hold. */
#include "store/base/clock.h"
#include "store/base/entropy.h"
#include "store/roster/impl.h"
#include "store/sweep.h"

enum {
    TICKS_PER_BEAT = 4,
    GONE_THROUGH_PER_RUN = 64, /* keys of each list */
};

static uint64_t slot_us(const struct store *store)
{
    return roster_refresh_us(store) / WHEEL_SLOTS;
}

static void pass_slot(struct store *store)
{
    struct roster_table *table = &store->roster;
    LIST_EACH(it, &table->wheel[table->wheel_at++ % WHEEL_SLOTS]) {
        roster_key_due(LIST_ITEM(it, struct roster_key, wheel));
    }
}

static void turn_wheel(struct store *store, uint64_t now)
{
    struct roster_table *table = &store->roster;
    uint64_t due = (now - table->wheel_start_us) / slot_us(store);
    if (due > table->wheel_at + WHEEL_SLOTS) {
        table->wheel_at = due - WHEEL_SLOTS; /* the process stood still: each key once is enough */
    }
    while (table->wheel_at < due) {
        pass_slot(store);
    }
}

/* Takes the first one of `from`, through its link at `offset`. */
static struct roster_key *take(struct list *from, size_t offset)
{
    struct list *link = from->next;
    list_del(link);
    return (struct roster_key *)(void *)((char *)link - offset);
}

static void expire_some(struct store *store)
{
    struct list *from = &store->roster.expiring;
    uint64_t now = clock_monotonic_us();
    for (int left = GONE_THROUGH_PER_RUN; left > 0 && !list_empty(from); left--) {
        struct roster_key *key = take(from, offsetof(struct roster_key, holding));
        list_push_back(&store->roster.holding, &key->holding);
        if (roster_hears(store, key->shard)) {
            roster_key_expire(key, now);
        }
    }
}

static void look_at_some(struct store *store)
{
    struct list *from = &store->roster.looking;
    for (int left = GONE_THROUGH_PER_RUN; left > 0 && !list_empty(from); left--) {
        struct roster_key *key = take(from, offsetof(struct roster_key, uneasy));
        list_push_back(&store->roster.uneasy, &key->uneasy);
        roster_key_look(key);
    }
}

/* They waited for a lease that cannot be had now. */
static void return_some(struct store *store)
{
    struct list *from = &store->roster.returning;
    for (int left = GONE_THROUGH_PER_RUN; left > 0 && !list_empty(from); left--) {
        struct roster_key *key = take(from, offsetof(struct roster_key, queue));
        key->stale = true;
        roster_key_kick(key);
    }
}

static void go_on(struct chore *chore)
{
    struct roster_table *table = CONTAINER_OF(chore, struct roster_table, chore);
    struct store *store = CONTAINER_OF(table, struct store, roster);
    expire_some(store);
    look_at_some(store);
    return_some(store);
    if (!list_empty(&table->expiring) || !list_empty(&table->looking) ||
        !list_empty(&table->returning)) {
        store_kick(store, chore);
    }
}

void roster_go_through(struct store *store, struct list *to, struct list *from)
{
    if (!list_empty(from)) {
        list_splice(to, from);
        store_kick(store, &store->roster.chore);
    }
}

static void sweep_key(void *arg, struct map_node *node)
{
    struct roster_key *key = MAP_ENTRY(node, struct roster_key, node);
    (void)arg;
    if (roster_key_is_behind(key)) {
        roster_key_kick(key);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct store *store = arg;
    uint64_t now = clock_monotonic_us();
    (void)fd, (void)what;
    store_enter(store);
    turn_wheel(store, now);
    roster_go_through(store, &store->roster.expiring, &store->roster.holding);
    roster_end_grace(store, now);
    roster_beat_all(store);
    if (store->roster.ticks++ % TICKS_PER_BEAT == 0) {
        roster_go_through(store, &store->roster.looking, &store->roster.uneasy);
    }
    store_leave(store);
}

void roster_wheel_add(struct store *store, struct roster_key *key)
{
    struct roster_table *table = &store->roster;
    list_init(&key->wheel);
    list_push_back(&table->wheel[entropy_below(WHEEL_SLOTS)], &key->wheel);
    if (!evtimer_pending(table->tick, NULL)) {
        uint64_t us = roster_beat_us(store) / TICKS_PER_BEAT;
        struct timeval period = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
        table->wheel_start_us = clock_monotonic_us();
        evtimer_add(table->tick, &period);
        table->ticking = true;
        roster_beat_all(store);
    }
}

void roster_wheel_init(struct store *store)
{
    struct roster_table *table = &store->roster;
    for (int i = 0; i < WHEEL_SLOTS; i++) {
        list_init(&table->wheel[i]);
    }
    list_init(&table->expiring);
    list_init(&table->patient);
    list_init(&table->looking);
    list_init(&table->returning);
    list_init(&table->chore.entry);
    table->chore.run = go_on;
    sweep_init(&table->sweep, store, &table->keys, sweep_key);
    table->tick = event_new(store->base, -1, EV_PERSIST, on_tick, store);
}

void roster_wheel_deinit(struct store *store)
{
    event_free(store->roster.tick);
    sweep_deinit(&store->roster.sweep);
    list_del(&store->roster.chore.entry);
}
