/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/look.h"

#include "store/base/clock.h"
#include "store/base/map.h"
#include "store/base/timer.h"
#include "store/bus.h"

#include <stdlib.h>

#define LOOK SPAN("fleet look")

enum {
    SAY_LOOK_MS = 4000,
    LOOK_LASTS_MS = 10000,
    TELL_PAUSE_MS = 250, /* between two answers to looks */
};

struct told {
    struct map_node node;
    char name[];
};

struct fleet_look {
    struct store *store;
    void (*fn)(void *arg);
    void *arg;
    struct bus_sub *sub;
    struct event *tell;
    uint64_t told_ms;   /* when a look was answered last; 0: never */
    uint64_t looked_ms; /* when a node looked last, this one or another; 0: none did */
    uint64_t said_ms;   /* when this one did; 0: it could not say so, or never did */
    struct map told;    /* since then: struct told */
};

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
    struct fleet_look *look = arg;
    (void)fd, (void)what;
    look->told_ms = clock_monotonic_ms();
    look->fn(look->arg);
}

static void on_look(void *arg, enum bus_event event, struct span payload)
{
    struct fleet_look *look = arg;
    uint64_t now = clock_monotonic_ms();
    (void)payload;
    if (event != BUS_MESSAGE) {
        return;
    }
    look->looked_ms = now;
    if (!evtimer_pending(look->tell, NULL)) {
        uint64_t passed = look->told_ms != 0 ? now - look->told_ms : TELL_PAUSE_MS;
        timer_after(look->tell, passed < TELL_PAUSE_MS ? TELL_PAUSE_MS - passed : 0);
    }
}

bool fleet_look_is_on(const struct fleet_look *look)
{
    return look->looked_ms != 0 && clock_monotonic_ms() - look->looked_ms < LOOK_LASTS_MS;
}

static void say(struct fleet_look *look)
{
    bool said = bus_publish(look->store, LOOK, SPAN("look")) == 0;
    look->looked_ms = clock_monotonic_ms();
    look->said_ms = said ? look->looked_ms : 0;
}

void fleet_look_begin(struct fleet_look *look)
{
    fleet_look_forget(look);
    say(look);
}

size_t fleet_look_note(struct fleet_look *look, struct span node)
{
    if (map_find(&look->told, node) == NULL) {
        struct told *told = mem_alloc(sizeof(*told) + node.len);
        memcpy(told->name, node.ptr, node.len);
        map_insert(&look->told, &told->node, span_of(told->name, node.len));
    }
    return look->told.count;
}

void fleet_look_forget(struct fleet_look *look)
{
    MAP_EACH(it, &look->told) {
        map_remove(&look->told, it);
        free(MAP_ENTRY(it, struct told, node));
    }
}

void fleet_look_again(struct fleet_look *look, bool looks)
{
    if (looks && (look->said_ms == 0 || clock_monotonic_ms() - look->said_ms >= SAY_LOOK_MS)) {
        say(look);
    }
}

struct fleet_look *fleet_look_new(struct store *store, struct loop *loop, void (*fn)(void *arg),
                                  void *arg)
{
    struct fleet_look *look = mem_zalloc(sizeof(*look));
    look->store = store;
    look->fn = fn;
    look->arg = arg;
    map_init(&look->told);
    look->sub = bus_subscribe(store, LOOK, BUS_NO_ECHO, on_look, look);
    look->tell = evtimer_new(loop_base(loop), on_tell, look);
    return look;
}

void fleet_look_free(struct fleet_look **look)
{
    struct fleet_look *gone = *look;
    if (gone == NULL) {
        return;
    }
    *look = NULL;
    bus_unsubscribe(&gone->sub);
    fleet_look_forget(gone);
    map_deinit(&gone->told);
    event_free(gone->tell);
    free(gone);
}
