/* SPDX-License-Identifier: MIT */
#include "node/service/relay/room.h"

#include "store/base/check.h"

#include <stdlib.h>

enum {
    TELLING_US = 500,       /* of a turn, until nobody is told at once any more in it; */
    TOLD_LEAST = 32,        /* but so many times it is done in each */
    TOLD_STEP = 8,          /* between two looks at the time */
    TELLINGS_PER_STEP = 32, /* of the rest */
};

struct relay_telling {
    struct list entry;
    struct chunk *chunk;         /* NULL: it is the beginning or the end of a topic */
    struct relay_notice *notice; /* that */
    struct relay_paced_mark mark;
    uint64_t number;
    uint64_t except; /* the number of one who is not told; 0: all are */
};

static bool tell_some(struct net_work *work);

void relay_room_init(struct relay_room *room, struct net *net, struct metrics *metrics)
{
    *room = (struct relay_room){.net = net, .metrics = metrics};
    list_init(&room->receivers);
    list_init(&room->line);
    net_work_init(&room->rest, tell_some);
}

void relay_room_add(struct relay_room *room, struct relay_receiver *receiver,
                    struct relay_paced *paced)
{
    receiver->paced = paced;
    receiver->number = ++room->number;
    list_push_back(&room->receivers, &receiver->entry);
    room->count++;
}

void relay_room_remove(struct relay_room *room, struct relay_receiver *receiver)
{
    CHECK(!list_empty(&receiver->entry) && room->count > 0);
    cursor_leave(&room->at, &receiver->entry);
    list_del(&receiver->entry);
    room->count--;
}

/* ------------------------------------------------------------------------------------ the line */

static struct relay_telling *first_telling(const struct relay_room *room)
{
    return LIST_ITEM(room->line.next, struct relay_telling, entry);
}

static size_t talk_of(const struct relay_telling *telling)
{
    return telling->mark.kind == PACED_TALK ? telling->chunk->len : 0;
}

static void add_telling(struct relay_room *room, struct chunk *chunk, struct relay_paced_mark mark,
                        const struct relay_receiver *except)
{
    struct relay_telling *telling = mem_alloc(sizeof(*telling));
    bool talk = mark.kind == PACED_TALK;
    *telling = (struct relay_telling){
        .chunk = talk ? chunk_ref(chunk) : NULL,
        .notice = talk ? NULL : relay_notice_new(chunk, mark),
        .mark = mark,
        .number = ++room->number,
        .except = except != NULL ? except->number : 0,
    };
    if (list_empty(&room->line)) {
        cursor_begin(&room->at, &room->receivers);
    }
    list_push_back(&room->line, &telling->entry);
    room->line_count++;
    room->talk += talk_of(telling);
}

/* All were told the first of the line. */
static void end_first(struct relay_room *room)
{
    struct relay_telling *telling = first_telling(room);
    room->talk -= talk_of(telling);
    room->line_count--;
    list_del(&telling->entry);
    cursor_begin(&room->at, &room->receivers);
    chunk_unref(telling->chunk);
    if (telling->notice != NULL) {
        relay_notice_unref(telling->notice);
    }
    free(telling);
}

/* Who is told the first of the line next; NULL: no one. */
static struct relay_receiver *next_receiver(const struct relay_room *room)
{
    struct list *link = cursor_next(&room->at);
    return link != NULL ? LIST_ITEM(link, struct relay_receiver, entry) : NULL;
}

/* Those who came later stand behind: they need no telling. */
static bool is_for(const struct relay_telling *telling, const struct relay_receiver *receiver)
{
    return receiver->number < telling->number;
}

static void tell(struct relay_room *room, struct relay_telling *telling,
                 const struct relay_receiver *receiver)
{
    if (receiver->number == telling->except) {
        return;
    }
    bool sent = telling->notice != NULL
                    ? relay_paced_send_notice(receiver->paced, telling->notice)
                    : relay_paced_send(receiver->paced, telling->chunk, telling->mark);
    metrics_add(room->metrics, METRIC_DELIVERIES, sent ? 1 : 0);
}

/* Tells one receiver the first of the line, or ends that where nobody is left. */
static void tell_next(struct relay_room *room)
{
    const struct relay_receiver *next = next_receiver(room);
    if (next == NULL || !is_for(first_telling(room), next)) {
        end_first(room);
        return;
    }
    cursor_take(&room->at);
    tell(room, first_telling(room), next);
}

/* May another one be told at once in this turn? */
static bool has_turn(struct relay_room *room)
{
    struct loop *loop = net_loop(room->net);
    if (room->turn != loop_turn(loop)) {
        room->turn = loop_turn(loop);
        room->told = 0;
    }
    if (room->told >= TOLD_LEAST && room->told % TOLD_STEP == 0 &&
        loop_turn_us(loop) >= TELLING_US) {
        room->told = RELAY_ROOM_TOLD_MOST;
    }
    return room->told < RELAY_ROOM_TOLD_MOST;
}

/* A net_work. */
static bool tell_some(struct net_work *work)
{
    struct relay_room *room = CONTAINER_OF(work, struct relay_room, rest);
    for (int left = TELLINGS_PER_STEP; left > 0 && !list_empty(&room->line); left--) {
        tell_next(room);
    }
    return !list_empty(&room->line);
}

void relay_room_send(struct relay_room *room, struct span bytes, struct relay_paced_mark mark,
                     const struct relay_receiver *except)
{
    if (room->count == 0) {
        return;
    }
    bool full = room->talk > 0 && room->talk + bytes.len > RELAY_ROOM_TALK_MOST;
    if (mark.kind == PACED_TALK && full) {
        metrics_add(room->metrics, METRIC_PACED_DROPPED, room->count);
        return;
    }
    struct chunk *chunk = chunk_copy(bytes);
    add_telling(room, chunk, mark, except);
    chunk_unref(chunk);
    while (room->line_count > RELAY_ROOM_LINE_MOST) {
        tell_next(room);
    }
    while (!list_empty(&room->line) && has_turn(room)) {
        room->told++;
        tell_next(room);
    }
    if (!list_empty(&room->line)) {
        net_work_queue(room->net, &room->rest);
    }
}

/* The first of the line: numbers of receivers grow. */
static bool was_told_first(const struct relay_room *room, const struct relay_receiver *receiver)
{
    const struct relay_receiver *next = next_receiver(room);
    return next == NULL || receiver->number < next->number;
}

void relay_room_tell_rest(struct relay_room *room, const struct relay_receiver *receiver)
{
    LIST_EACH(it, &room->line) {
        struct relay_telling *telling = LIST_ITEM(it, struct relay_telling, entry);
        if (is_for(telling, receiver) &&
            !(telling == first_telling(room) && was_told_first(room, receiver))) {
            tell(room, telling, receiver);
        }
    }
}

void relay_room_deinit(struct relay_room *room)
{
    while (!list_empty(&room->line)) {
        end_first(room);
    }
    net_work_cancel(&room->rest);
}
