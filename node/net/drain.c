/* SPDX-License-Identifier: MIT */
#include "node/net/drain.h"

#include "node/net/base.h"
#include "node/net/conn_impl.h"
#include "store/base/clock.h"
#include "store/base/timer.h"

enum {
    DRAIN_TICK_MS = 50,
    LEAST_PER_TICK = 3, /* a few clients are no herd: they need not wait for the whole period */
    LEAVE_MS = 500,     /* for the leave-taking itself, however short the period is */
    ASKED_PER_TURN = 64,
    ENDED_PER_TURN = 256,
};

struct drain {
    struct net *net;
    struct event *tick;
    uint64_t spread_until_ms, end_ms;
    uint32_t due; /* still to be asked of those whose tick has come */
    void (*done)(void *arg);
    void *arg;
};

static uint32_t count_staying(const struct net *net)
{
    return net->admission.count - net->leaving;
}

static uint32_t quota(const struct drain *drain, uint64_t now_ms)
{
    uint32_t staying = count_staying(drain->net);
    uint64_t ticks_left =
        now_ms < drain->spread_until_ms ? (drain->spread_until_ms - now_ms) / DRAIN_TICK_MS + 1 : 1;
    uint32_t fair = (uint32_t)((staying + ticks_left - 1) / ticks_left);
    return fair > LEAST_PER_TICK ? fair : LEAST_PER_TICK;
}

/* Those that were asked stand behind all others (conn_leave). */
static void ask_some(struct net *net, uint32_t most)
{
    net->sends_bulk = true; /* what goes to those who stay comes before it */
    for (uint32_t left = count_staying(net); left > 0 && most > 0; left--, most--) {
        conn_leave(LIST_ITEM(net->all.next, struct conn, all));
    }
    net->sends_bulk = false;
}

/* Those of this tick, a turn's worth at a time. Are some left for the next turn? */
static bool ask_due(struct drain *drain, uint64_t now_ms)
{
    if (drain->due == 0) {
        drain->due = quota(drain, now_ms);
    }
    uint32_t now = drain->due < ASKED_PER_TURN ? drain->due : ASKED_PER_TURN;
    ask_some(drain->net, now);
    drain->due -= now;
    return drain->due > 0;
}

/* Those that were ended stand behind all others, until they are gone. */
static void end_some(struct net *net)
{
    for (uint32_t left = ENDED_PER_TURN; left > 0 && !list_empty(&net->all); left--) {
        struct conn *conn = LIST_ITEM(net->all.next, struct conn, all);
        conn_end_now(conn);
        list_del(&conn->all);
        list_push_back(&net->all, &conn->all);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct drain *drain = arg;
    uint64_t now = clock_monotonic_ms();
    bool soon = true;
    loop_awake(drain->net->loop);
    if (now >= drain->end_ms) {
        end_some(drain->net);
    } else {
        soon = ask_due(drain, now);
    }
    if (drain->net->admission.count == 0) {
        drain->done(drain->arg);
    } else {
        timer_after(drain->tick, soon ? 0 : DRAIN_TICK_MS);
    }
}

struct drain *drain_start(struct net *net, uint32_t ms, void (*done)(void *arg), void *arg)
{
    struct drain *drain = mem_zalloc(sizeof(*drain));
    uint64_t now = clock_monotonic_ms();
    *drain = (struct drain){.net = net, .done = done, .arg = arg};
    drain->spread_until_ms = now + (uint64_t)ms * 8 / 10;
    drain->end_ms = now + (ms > LEAVE_MS ? ms : LEAVE_MS);
    drain->tick = evtimer_new(loop_base(net->loop), on_tick, drain);
    timer_after(drain->tick, DRAIN_TICK_MS);
    return drain;
}

void drain_free(struct drain **drain)
{
    if (*drain != NULL) {
        event_free((*drain)->tick);
        free(*drain);
        *drain = NULL;
    }
}
