/* SPDX-License-Identifier: MIT */
#include "node/net/net.h"

#include "node/net/base.h"
#include "node/net/conn_impl.h"
#include "node/net/drain.h"

#include <stdlib.h>

void net_set_overloaded(struct net *net, bool overloaded)
{
    net->admission.overloaded = overloaded;
}

static bool counted(struct net *net, bool admitted)
{
    metrics_add(net->metrics, METRIC_CONNS_REFUSED, admitted ? 0 : 1);
    return admitted;
}

bool net_admit(struct net *net, const struct address *peer)
{
    return counted(net, admission_allows(&net->admission, peer));
}

bool net_admit_watcher(struct net *net)
{
    return counted(net, admission_allows_watcher(&net->admission));
}

struct net *net_new(struct loop *loop, struct wheel *wheel, struct metrics *metrics,
                    const struct net_limits *limits)
{
    struct net *net = mem_alloc(sizeof(*net));
    *net = (struct net){.loop = loop, .wheel = wheel, .metrics = metrics};
    list_init(&net->all);
    list_init(&net->todo);
    list_init(&net->gone);
    list_init(&net->blocked);
    list_init(&net->front);
    list_init(&net->back);
    list_init(&net->dirty);
    list_init(&net->bulk);
    list_init(&net->works);
    list_init(&net->udp_dirty);
    admission_init(&net->admission, limits);
    loop_at_turn_end(loop, turn_end, net);
    return net;
}

void net_free(struct net **net)
{
    if (*net == NULL) {
        return;
    }
    while (!list_empty(&(*net)->all)) {
        struct conn *conn = LIST_ITEM((*net)->all.next, struct conn, all);
        conn_end_now(conn);
        conn_do_todo(conn);
    }
    while (!list_empty(&(*net)->works)) {
        list_del((*net)->works.next); /* whose owners outlive it */
    }
    drain_free(&(*net)->drain);
    free((*net)->udp_inbox);
    outq_pool_deinit(&(*net)->pool);
    admission_deinit(&(*net)->admission);
    free(*net);
    *net = NULL;
}

void net_drain(struct net *net, uint32_t ms, void (*done)(void *arg), void *arg)
{
    net->drain = drain_start(net, ms, done, arg);
}

uint32_t net_connections(const struct net *net, bool *full)
{
    *full = admission_is_full(&net->admission);
    return net->admission.count;
}

void net_hand_over(struct net *net)
{
    net->handed_over = true;
}

bool net_is_handed_over(const struct net *net)
{
    return net->handed_over;
}

bool net_shares_ports(const struct net *net)
{
    return net->admission.limits.share_ports;
}

bool net_send_bulk(struct net *net, bool bulk)
{
    bool was = net->sends_bulk;
    net->sends_bulk = bulk;
    return was;
}

uint64_t net_sends(const struct net *net)
{
    return net->sends;
}

uint64_t net_queued_bytes(const struct net *net)
{
    return net->queued;
}

struct loop *net_loop(const struct net *net)
{
    return net->loop;
}

struct wheel *net_wheel(const struct net *net)
{
    return net->wheel;
}

struct metrics *net_metrics(const struct net *net)
{
    return net->metrics;
}
