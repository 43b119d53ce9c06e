#include "node/fanout/room.h"

void room_init(struct room *room, struct metrics *metrics)
{
    list_init(&room->members);
    room->count = 0;
    room->metrics = metrics;
}

void room_add(struct room *room, struct room_member *member, struct ws *ws)
{
    member->ws = ws;
    member->paced = NULL;
    list_push_back(&room->members, &member->link);
    room->count++;
}

void room_add_raw(struct room *room, struct room_member *member, struct paced *paced)
{
    member->ws = NULL;
    member->paced = paced;
    list_push_back(&room->members, &member->link);
    room->count++;
}

void room_remove(struct room *room, struct room_member *member)
{
    list_del(&member->link);
    room->count--;
}

void room_send_one(struct room_member *member, struct frame *frame)
{
    struct ws *ws = member->ws;
    struct chunk *chunk = frame_chunk(frame, ws_deflates(ws) ? FRAME_WS_DEFLATED : FRAME_WS_PLAIN);
    if (conn_send(ws_conn(ws), chunk) != 0) {
        ws_overflow(ws);
    }
}

uint32_t room_send(struct room *room, struct span text, bool (*wants)(struct room_member *member))
{
    struct frame frame;
    uint32_t sent = 0;
    frame_init(&frame, WS_TEXT, text);
    LIST_EACH(link, &room->members) {
        struct room_member *member = LIST_ITEM(link, struct room_member, link);
        if (ws_is_open(member->ws) && (wants == NULL || wants(member))) {
            room_send_one(member, &frame);
            sent++;
        }
    }
    frame_deinit(&frame);
    metric_add(room->metrics, METRIC_DELIVERIES, sent);
    metric_add(room->metrics, METRIC_WS_MESSAGES_OUT, sent);
    return sent;
}

uint32_t room_send_raw(struct room *room, struct span bytes, struct paced_mark mark,
                       const struct room_member *except)
{
    struct chunk *chunk = chunk_copy(bytes);
    uint32_t sent = 0;
    LIST_EACH(link, &room->members) {
        struct room_member *member = LIST_ITEM(link, struct room_member, link);
        if (member != except && paced_send(member->paced, chunk, mark)) {
            sent++;
        }
    }
    chunk_unref(chunk);
    metric_add(room->metrics, METRIC_DELIVERIES, sent);
    return sent;
}
