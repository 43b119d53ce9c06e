/* SPDX-License-Identifier: MIT */
#include "node/fanout/group.h"
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
    struct chunk *chunk =
        shared_message_chunk(message, ws_deflates(ws) ? SHARED_WS_DEFLATED : SHARED_WS_PLAIN);
    if (conn_send(ws_conn(ws), chunk) != 0) {
        ws_overflow(ws);
    }
}

uint32_t group_send(struct group *group, struct span text, bool (*wants)(struct receiver *receiver))
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
