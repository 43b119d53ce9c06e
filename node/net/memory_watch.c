/* SPDX-License-Identifier: MIT */
#include "node/net/memory_watch.h"

#include "node/core/cgroup.h"
#include "node/core/log.h"
#include "node/core/metrics_process.h"
#include "store/base/mem.h"
#include "store/base/timer.h"

#include <malloc.h>
#include <stdlib.h>

enum {
    LOOK_PARTS = 64,  /* a look at the latest when this part of the limit was queued */
    SPARE_PARTS = 32, /* so much more than is needed is made free */
};

struct memory_watch {
    struct net *net;
    struct cgroup cgroup; /* with a limit: its use counts, else the process' */
    uint64_t limit;
    uint64_t looked_at; /* net_queued_bytes at the last look */
    bool is_short;
    struct event *look;
};

static uint64_t used(const struct memory_watch *watch)
{
    return watch->cgroup.limit > 0 ? cgroup_used(&watch->cgroup) : metrics_process_resident_bytes();
}

static void relieve(struct memory_watch *watch, uint64_t bytes)
{
    unsigned closed = net_relieve(watch->net, bytes - watch->limit + watch->limit / SPARE_PARTS);
    if (closed > 0) {
        log_warn("memory is short: clients with the most to read were closed",
                 LOG_NUMBER_FIELD("closed", closed), LOG_NUMBER_FIELD("used", bytes),
                 LOG_NUMBER_FIELD("limit", watch->limit));
    }
}

static void look(struct memory_watch *watch)
{
    watch->looked_at = net_queued_bytes(watch->net);
    uint64_t bytes = used(watch);
    if (bytes > watch->limit) {
        malloc_trim(0); /* what was given up before may lie in the allocator */
        bytes = used(watch);
    }
    watch->is_short = bytes > watch->limit;
    net_set_overloaded(watch->net, watch->is_short);
    if (watch->is_short) {
        relieve(watch, bytes);
    }
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    look(arg);
}

static void on_turn_end(void *arg)
{
    struct memory_watch *watch = arg;
    if (watch->limit > 0 &&
        net_queued_bytes(watch->net) - watch->looked_at > watch->limit / LOOK_PARTS) {
        look(watch);
    }
}

struct memory_watch *memory_watch_new(struct net *net, int64_t limit)
{
    struct memory_watch *watch = mem_zalloc(sizeof(*watch));
    watch->net = net;
    watch->limit = limit > 0 ? (uint64_t)limit : 0;
    if (limit < 0) {
        cgroup_find(&watch->cgroup, "");
        watch->limit = watch->cgroup.limit / 10 * 9;
    }
    metrics_set(net_metrics(net), METRIC_MEMORY_LIMIT, watch->limit);
    watch->look = event_new(loop_base(net_loop(net)), -1, EV_PERSIST, on_second, watch);
    if (watch->limit > 0) {
        timer_after(watch->look, 1000);
        loop_at_turn_end(net_loop(net), on_turn_end, watch);
    }
    return watch;
}

void memory_watch_free(struct memory_watch **watch)
{
    if (*watch != NULL) {
        event_free((*watch)->look);
        free(*watch);
        *watch = NULL;
    }
}

bool memory_watch_is_short(const struct memory_watch *watch)
{
    return watch->is_short;
}
