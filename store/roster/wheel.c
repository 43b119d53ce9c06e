/* SPDX-License-Identifier: MIT */
/* The wheel: each key stands at a random one of its slots, and the wheel turns once per refresh
 * interval, so that thousands of refreshes are spread evenly over it. The same tick has the beats, and
 * ends what views hold. */
#include "store/base/clock.h"
#include "store/base/entropy.h"
#include "store/roster/impl.h"

enum { TICKS_PER_BEAT = 4 };

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

static void end_holds(struct store *store, uint64_t now)
{
    struct list holding;
    list_init(&holding);
    list_splice(&holding, &store->roster.holding);
    while (!list_empty(&holding)) {
        struct roster_key *key = LIST_ITEM(holding.next, struct roster_key, holding);
        list_del(&key->holding);
        list_push_back(&store->roster.holding, &key->holding);
        if (roster_hears(store, key->shard)) {
            roster_key_expire(key, now);
        }
    }
}

static void look_at_uneasy(struct store *store)
{
    LIST_EACH(it, &store->roster.uneasy) {
        roster_key_look(LIST_ITEM(it, struct roster_key, uneasy));
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct store *store = arg;
    uint64_t now = clock_monotonic_us();
    (void)fd, (void)what;
    store_enter(store);
    turn_wheel(store, now);
    end_holds(store, now);
    roster_end_grace(store, now);
    roster_beat_all(store);
    if (store->roster.ticks++ % TICKS_PER_BEAT == 0) {
        look_at_uneasy(store);
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
    table->tick = event_new(store->base, -1, EV_PERSIST, on_tick, store);
}

void roster_wheel_deinit(struct store *store)
{
    event_free(store->roster.tick);
}
