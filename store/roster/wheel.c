/* SPDX-License-Identifier: MIT */
/* The wheel: each key stands at a random one of its slots, and the wheel turns once per renewal
 * interval, so that thousands of renewals are spread evenly over it. */
#include "store/base/clock.h"
#include "store/base/entropy.h"
#include "store/roster/impl.h"

static uint64_t slot_us(const struct store *store)
{
    return roster_renew_us(store) / WHEEL_SLOTS;
}

static void pass_slot(struct store *store)
{
    struct roster_table *table = &store->roster;
    LIST_EACH(it, &table->wheel[table->wheel_at++ % WHEEL_SLOTS]) {
        roster_key_due(LIST_ITEM(it, struct roster_key, wheel));
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct store *store = arg;
    struct roster_table *table = &store->roster;
    uint64_t now = clock_monotonic_us();
    uint64_t due = (now - table->wheel_start_us) / slot_us(store);
    (void)fd, (void)what;
    store_enter(store);
    if (due > table->wheel_at + WHEEL_SLOTS) {
        table->wheel_at = due - WHEEL_SLOTS; /* the process stood still: each key once is enough */
    }
    while (table->wheel_at < due) {
        pass_slot(store);
    }
    struct list holding;
    list_init(&holding);
    list_splice(&holding, &table->holding);
    while (!list_empty(&holding)) {
        struct roster_key *key = LIST_ITEM(holding.next, struct roster_key, holding);
        list_del(&key->holding);
        list_push_back(&table->holding, &key->holding);
        roster_key_expire(key, now);
    }
    if (table->keys.count == 0) {
        evtimer_del(table->tick);
    }
    store_leave(store);
}

void roster_wheel_add(struct store *store, struct roster_key *key)
{
    struct roster_table *table = &store->roster;
    list_init(&key->wheel);
    list_push_back(&table->wheel[entropy_below(WHEEL_SLOTS)], &key->wheel);
    if (!evtimer_pending(table->tick, NULL)) {
        uint64_t us = slot_us(store);
        struct timeval period = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
        table->wheel_start_us = clock_monotonic_us();
        table->wheel_at = 0;
        evtimer_add(table->tick, &period);
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
