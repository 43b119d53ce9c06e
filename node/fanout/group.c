/* SPDX-License-Identifier: MIT */
#include "node/fanout/group.h"

#include "node/net/net.h"
#include "store/base/check.h"

void group_init(struct group *group, struct metrics *metrics)
{
    list_init(&group->receivers);
    group->count = 0;
    group->metrics = metrics;
}

void group_add(struct group *group, struct receiver *receiver, struct ws *ws)
{
    receiver->ws = ws;
    list_push_back(&group->receivers, &receiver->entry);
    group->count++;
    conn_set_member(ws_conn(ws));
}

void group_remove(struct group *group, struct receiver *receiver)
{
    CHECK(!list_empty(&receiver->entry) && group->count > 0);
    list_del(&receiver->entry);
    group->count--;
}

void group_send_one(struct receiver *receiver, struct shared_message *message)
{
    struct ws *ws = receiver->ws;
    if (!ws_is_open(ws)) {
        return; /* a close frame is the last one, even if the peer still asks (RFC 6455, 5.5.1) */
    }
    struct chunk *chunk =
        shared_message_chunk(message, ws_deflates(ws) ? SHARED_WS_DEFLATED : SHARED_WS_PLAIN);
    if (conn_send(ws_conn(ws), chunk) != 0) {
        ws_overflow(ws);
    }
}

static uint32_t send_to(struct group *group, struct span text,
                        bool (*wants)(struct receiver *receiver))
{
    struct shared_message message;
    uint32_t sent = 0;
    shared_message_init(&message, WS_TEXT, text);
    LIST_EACH(it, &group->receivers) {
        struct receiver *receiver = LIST_ITEM(it, struct receiver, entry);
        if (ws_is_open(receiver->ws) && (wants == NULL || wants(receiver))) {
            group_send_one(receiver, &message);
            sent++;
        }
    }
    shared_message_deinit(&message);
    metrics_add(group->metrics, METRIC_DELIVERIES, sent);
    metrics_add(group->metrics, METRIC_WS_MESSAGES_OUT, sent);
    return sent;
}

uint32_t group_send_late(struct group *group, struct span text,
                         bool (*wants)(struct receiver *receiver))
{
    if (group->count == 0) {
        return 0;
    }
    const struct receiver *any = LIST_ITEM(group->receivers.next, struct receiver, entry);
    struct net *net = conn_net(ws_conn(any->ws));
    net_send_bulk(net, true);
    uint32_t sent = send_to(group, text, wants);
    net_send_bulk(net, false);
    return sent;
}

uint32_t group_send(struct group *group, struct span text, bool (*wants)(struct receiver *receiver))
{
    return group->count >= GROUP_BULK_FROM ? group_send_late(group, text, wants)
                                           : send_to(group, text, wants);
}
