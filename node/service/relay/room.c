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

static uint32_t send_begin(struct relay_room *room, struct chunk *chunk, uint64_t topic,
                           const struct relay_receiver *except)
{
    struct relay_begin *begin = relay_begin_new(chunk, topic);
    uint32_t sent = 0;
    LIST_EACH(it, &room->receivers) {
        struct relay_receiver *receiver = LIST_ITEM(it, struct relay_receiver, entry);
        sent += receiver != except && relay_paced_send_begin(receiver->paced, begin);
    }
    relay_begin_unref(begin);
    return sent;
}

static uint32_t send_to(struct relay_room *room, struct chunk *chunk, struct relay_paced_mark mark,
                        const struct relay_receiver *except)
{
    uint32_t sent = 0;
    LIST_EACH(it, &room->receivers) {
        struct relay_receiver *receiver = LIST_ITEM(it, struct relay_receiver, entry);
        sent += receiver != except && relay_paced_send(receiver->paced, chunk, mark);
    }
    return sent;
}

uint32_t relay_room_send(struct relay_room *room, struct span bytes, struct relay_paced_mark mark,
                         const struct relay_receiver *except)
{
    struct chunk *chunk = chunk_copy(bytes);
    uint32_t sent = mark.kind == PACED_BEGIN ? send_begin(room, chunk, mark.topic, except)
                                             : send_to(room, chunk, mark, except);
    chunk_unref(chunk);
    metrics_add(room->metrics, METRIC_DELIVERIES, sent);
    return sent;
}
