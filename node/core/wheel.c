/* SPDX-License-Identifier: MIT */
#include "node/core/wheel.h"

#include "store/base/clock.h"
#include "store/base/timer.h"

enum {
    SLOTS = 4096,             /* 410 s; later deadlines are looked at once per round */
    LOOKED_AT_PER_TURN = 128, /* timers; the others that are due come in the next turns */
    SLEEP_MOST = 10,          /* ticks */
    ROUGH_FROM = 100,         /* ticks: timers of so long come in bunches, */
    ROUGH = 10,               /* once in so many: an idle node is woken seldom */
};

struct wheel {
    struct loop *loop;
    struct event *tick_event;
    struct event *rest; /* pending while some wait in `due` */
    struct list due;    /* of slots that were passed; still to be looked at */
    uint64_t start_ms;
    uint32_t tick; /* the last one whose slot was looked at; never 0 */
    uint32_t next; /* that it wakes up for: no slot before that has a timer */
    struct list slots[SLOTS];
};

static uint32_t tick_now(const struct wheel *wheel)
{
    return (uint32_t)((clock_monotonic_ms() - wheel->start_ms) / WHEEL_TICK_MS) + 1;
}

static void sleep_until(struct wheel *wheel, uint32_t tick)
{
    uint64_t passed_ms = clock_monotonic_ms() - wheel->start_ms;
    uint64_t due_ms = (uint64_t)(tick - 1) * WHEEL_TICK_MS;
    wheel->next = tick;
    timer_after(wheel->tick_event, due_ms > passed_ms ? due_ms - passed_ms : 0);
}

/* The next slot that has a timer, or one not far away. */
static uint32_t next_tick(const struct wheel *wheel)
{
    uint32_t tick = wheel->tick + 1;
    while (tick < wheel->tick + SLEEP_MOST && list_empty(&wheel->slots[tick % SLOTS])) {
        tick++;
    }
    return tick;
}

static void stand_in(struct wheel *wheel, struct wheel_timer *timer)
{
    uint32_t ahead = timer->deadline - wheel->tick;
    if (ahead < 1) {
        ahead = 1;
    } else if (ahead > SLOTS - 1) {
        ahead = SLOTS - 1;
    }
    timer->slot = wheel->tick + ahead;
    list_push_back(&wheel->slots[timer->slot % SLOTS], &timer->entry);
    if (timer->slot < wheel->next) {
        sleep_until(wheel, timer->slot);
    }
}

static void look_at(struct wheel *wheel, struct wheel_timer *timer)
{
    list_del(&timer->entry);
    if (timer->deadline > wheel->tick) {
        stand_in(wheel, timer);
    } else {
        timer->deadline = 0;
        timer->fn(timer);
    }
}

/* Many may be due at once: those that came in one storm, or all after a standstill. */
static void look_at_due(struct wheel *wheel)
{
    for (int left = LOOKED_AT_PER_TURN; left > 0 && !list_empty(&wheel->due); left--) {
        look_at(wheel, LIST_ITEM(wheel->due.next, struct wheel_timer, entry));
    }
    if (!list_empty(&wheel->due)) {
        timer_after(wheel->rest, 0);
    }
}

static void on_rest(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct wheel *wheel = arg;
    loop_awake(wheel->loop);
    look_at_due(wheel);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct wheel *wheel = arg;
    loop_awake(wheel->loop);
    for (uint32_t now = tick_now(wheel); wheel->tick < now;) {
        wheel->tick++;
        list_splice(&wheel->due, &wheel->slots[wheel->tick % SLOTS]);
    }
    sleep_until(wheel, next_tick(wheel));
    look_at_due(wheel);
}

struct wheel *wheel_new(struct loop *loop)
{
    struct wheel *wheel = mem_zalloc(sizeof(*wheel));
    wheel->loop = loop;
    wheel->start_ms = clock_monotonic_ms();
    wheel->tick = 1;
    for (size_t i = 0; i < SLOTS; i++) {
        list_init(&wheel->slots[i]);
    }
    list_init(&wheel->due);
    wheel->rest = evtimer_new(loop_base(loop), on_rest, wheel);
    wheel->tick_event = evtimer_new(loop_base(loop), on_tick, wheel);
    sleep_until(wheel, next_tick(wheel));
    return wheel;
}

void wheel_free(struct wheel **wheel)
{
    if (*wheel != NULL) {
        event_free((*wheel)->tick_event);
        event_free((*wheel)->rest);
        free(*wheel);
        *wheel = NULL;
    }
}

void wheel_timer_init(struct wheel_timer *timer, void (*fn)(struct wheel_timer *timer))
{
    *timer = (struct wheel_timer){.fn = fn};
    list_init(&timer->entry);
}

void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t ms)
{
    /* One tick more: the current one has begun already, and a timer is never early. */
    uint64_t ticks = (ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS + 1;
    bool linked = !list_empty(&timer->entry);
    timer->deadline = tick_now(wheel) + (uint32_t)ticks;
    if (ticks > ROUGH_FROM) {
        timer->deadline += (ROUGH - timer->deadline % ROUGH) % ROUGH;
    }
    if (linked && timer->slot <= timer->deadline) {
        return; /* its slot comes first and will find the later deadline */
    }
    list_del(&timer->entry);
    stand_in(wheel, timer);
}

void wheel_cancel(struct wheel_timer *timer)
{
    timer->deadline = 0;
    list_del(&timer->entry);
}
