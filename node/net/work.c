/* SPDX-License-Identifier: MIT */
#include "node/net/work.h"

#include "node/net/base.h"

void net_work_init(struct net_work *work, bool (*step)(struct net_work *work))
{
    work->step = step;
    list_init(&work->entry);
}

void net_work_queue(struct net *net, struct net_work *work)
{
    if (list_empty(&work->entry)) {
        list_push_back(&net->works, &work->entry);
        loop_again(net->loop); /* other hooks come behind the net's */
    }
}

void net_work_cancel(struct net_work *work)
{
    list_del(&work->entry);
}
