/* SPDX-License-Identifier: MIT */
/* How many devices a port has in the cluster, as the statistics of every node show it. A node tells
 * the others its own count, and whether it could not bind the port: changes within DISPATCH_COUNT_COUNT_MS are
 * told together. */
#include "node/service/dispatch/port/count.h"
#include "node/service/dispatch/port/port.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    DISPATCH_COUNT_COUNT_MS = 200,
    TOLD_PER_STEP = 16, /* ports */
};

void dispatch_port_tell_count(struct dispatch_port *port)
{
    struct buf member = {0}, value = {0};
    dispatch_port_own_member(port, "n", &member);
    buf_printf(&value, "%" PRIu32 " %d", port->clients, port->unbound ? 1 : 0);
    bool wanted = port->clients > 0 || port->unbound;
    if (wanted) {
        roster_claim(port->dispatch->options.store, buf_span(&port->key), buf_span(&member),
                     buf_span(&value));
    } else if (port->counting) {
        roster_release(port->dispatch->options.store, buf_span(&port->key), buf_span(&member));
    }
    port->counting = wanted;
    buf_free(&member);
    buf_free(&value);
}

/* The devices of thousands of ports may come, or go, with one network. */
static bool tell_some(struct net_work *work)
{
    struct dispatch *dispatch = CONTAINER_OF(work, struct dispatch, telling);
    for (int left = TOLD_PER_STEP; left > 0 && !list_empty(&dispatch->uncounted); left--) {
        struct dispatch_port *port =
            LIST_ITEM(dispatch->uncounted.next, struct dispatch_port, uncounted);
        list_del(&port->uncounted);
        dispatch_port_tell_count(port);
    }
    return !list_empty(&dispatch->uncounted);
}

static void on_count_timer(struct wheel_timer *timer)
{
    struct dispatch *dispatch = CONTAINER_OF(timer, struct dispatch, count_timer);
    net_work_queue(dispatch->options.net, &dispatch->telling);
}

void dispatch_port_count_later(struct dispatch_port *port)
{
    struct dispatch *dispatch = port->dispatch;
    if (list_empty(&dispatch->uncounted)) {
        wheel_set(net_wheel(dispatch->options.net), &dispatch->count_timer,
                  DISPATCH_COUNT_COUNT_MS);
    }
    if (list_empty(&port->uncounted)) {
        list_push_back(&dispatch->uncounted, &port->uncounted);
    }
}

/* ------------------------------------------------------------------------------- what is here */

/* Where the page finds it. */
static void shelve(struct dispatch_port *port)
{
    struct dispatch *dispatch = port->dispatch;
    bool held = port->clients > 0 || port->unbound;
    struct dispatch_shelf *shelf = port->open > 0 ? &dispatch->driven
                                   : held         ? &dispatch->held
                                                  : NULL;
    if (shelf == port->shelf) {
        return;
    }
    if (port->shelf != NULL) {
        list_del(&port->shelved);
        port->shelf->count--;
    }
    if (shelf != NULL) {
        list_push_back(&shelf->ports, &port->shelved);
        shelf->count++;
    }
    port->shelf = shelf;
}

void dispatch_port_count(struct dispatch_port *port, int by)
{
    port->clients = (uint32_t)((int)port->clients + by);
    port->dispatch->open_devices += (uint64_t)(int64_t)by;
    shelve(port);
    dispatch_port_count_later(port);
}

void dispatch_port_count_driver(struct dispatch_port *port, int by)
{
    port->open = (uint32_t)((int)port->open + by);
    port->dispatch->open_drivers += (uint64_t)(int64_t)by;
    shelve(port);
}

void dispatch_port_set_unbound(struct dispatch_port *port, bool unbound)
{
    port->dispatch->unbound += (uint64_t)unbound - (uint64_t)port->unbound;
    port->unbound = unbound;
    shelve(port);
    dispatch_port_count_later(port);
}

void dispatch_port_begin_counts(struct dispatch_port *port)
{
    list_init(&port->uncounted);
    list_init(&port->shelved);
    list_init(&port->entry);
    list_push_back(&port->dispatch->every_port, &port->entry);
}

void dispatch_port_end_counts(struct dispatch_port *port)
{
    LIST_EACH(it, &port->dispatch->looking) {
        cursor_leave(&LIST_ITEM(it, struct dispatch_look, entry)->at, &port->entry);
    }
    list_del(&port->entry);
    list_del(&port->uncounted);
    dispatch_port_count_driver(port, -(int)port->open);
    port->dispatch->open_devices -= port->clients;
    port->clients = 0;
    shelve(port);
}

void dispatch_look_begin(struct dispatch_look *look, struct dispatch *dispatch)
{
    list_push_back(&dispatch->looking, &look->entry);
    cursor_begin(&look->at, &dispatch->every_port);
}

struct dispatch_port *dispatch_look_next(struct dispatch_look *look)
{
    struct list *link = cursor_take(&look->at);
    if (link == NULL) {
        dispatch_look_end(look);
    }
    return link != NULL ? LIST_ITEM(link, struct dispatch_port, entry) : NULL;
}

void dispatch_look_end(struct dispatch_look *look)
{
    list_del(&look->entry);
}

/* ------------------------------------------------------------------------- what the cluster has */

struct totalling {
    struct dispatch_port_totals totals;
    struct span own;
};

static void add_member(void *arg, const struct roster_member *member)
{
    struct totalling *totalling = arg;
    struct span name = member->name;
    char text[32] = "", *end;
    if (!span_eq(span_cut(&name, ' '), SPAN("n")) || member->value.len >= sizeof(text)) {
        return;
    }
    memcpy(text, member->value.ptr, member->value.len);
    uint64_t clients = strtoull(text, &end, 10);
    totalling->totals.clients += span_eq(name, totalling->own) ? 0 : clients;
    totalling->totals.unbound += strtoul(end, NULL, 10) > 0 ? 1 : 0;
}

struct dispatch_port_totals dispatch_port_totals(struct dispatch_port *port)
{
    struct totalling totalling = {.own = span_str(port->dispatch->options.node)};
    totalling.totals.clients = port->clients;
    totalling.totals.drivers = port->remote.count + port->open;
    roster_each(port->watch, add_member, &totalling);
    return totalling.totals;
}

static void count_gauges(void *arg, struct metrics *metrics)
{
    const struct dispatch *dispatch = arg;
    metrics_set(metrics, METRIC_DISPATCH_DRIVERS, dispatch->open_drivers);
    metrics_set(metrics, METRIC_DISPATCH_DEVICES, dispatch->open_devices);
    metrics_set(metrics, METRIC_DISPATCH_UNBOUND, dispatch->unbound);
}

void dispatch_counts_init(struct dispatch *dispatch)
{
    metrics_source_add(metrics_of(dispatch), &dispatch->gauges, count_gauges, dispatch);
    list_init(&dispatch->uncounted);
    list_init(&dispatch->every_port);
    list_init(&dispatch->looking);
    list_init(&dispatch->driven.ports);
    list_init(&dispatch->held.ports);
    wheel_timer_init(&dispatch->count_timer, on_count_timer);
    net_work_init(&dispatch->telling, tell_some);
}

void dispatch_counts_deinit(struct dispatch *dispatch)
{
    metrics_source_remove(metrics_of(dispatch), &dispatch->gauges);
    wheel_cancel(&dispatch->count_timer);
    net_work_cancel(&dispatch->telling);
}
