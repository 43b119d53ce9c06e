/* SPDX-License-Identifier: MIT */
#include "node/service/relay/room.h"
#include "store/base/check.h"

void relay_room_init(struct relay_room *room, struct metrics *metrics)
{
    list_init(&room->receivers);
    room->count = 0;
    room->metrics = metrics;
}

void relay_room_add(struct relay_room *room, struct relay_receiver *receiver,
                    struct relay_paced *paced)
{
    receiver->paced = paced;
    list_push_back(&room->receivers, &receiver->entry);
    room->count++;
}

void relay_room_remove(struct relay_room *room, struct relay_receiver *receiver)
{
    CHECK(!list_empty(&receiver->entry) && room->count > 0);
    list_del(&receiver->entry);
    room->count--;
}

uint32_t relay_room_send(struct relay_room *room, struct span bytes, struct relay_paced_mark mark,
                         const struct relay_receiver *except)
{
    struct chunk *chunk = chunk_copy(bytes);
    uint32_t sent = 0;
    LIST_EACH(it, &room->receivers) {
        struct relay_receiver *receiver = LIST_ITEM(it, struct relay_receiver, entry);
        if (receiver != except && relay_paced_send(receiver->paced, chunk, mark)) {
            sent++;
        }
    }
    chunk_unref(chunk);
    metrics_add(room->metrics, METRIC_DELIVERIES, sent);
    return sent;
}
