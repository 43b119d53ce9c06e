/* SPDX-License-Identifier: MIT */
#include "node/service/relay/room.h"

#include "store/base/check.h"
#include "store/base/timer.h"

#include <stdlib.h>

enum {
    TELLING_US = 500, /* of a turn, until nobody is told any more in it; */
    TOLD_LEAST = 32,  /* but so many times it is done in each */
    TOLD_STEP = 8,    /* between two looks at the time */
};

struct relay_news {
    struct list entry;
    struct chunk *chunk;       /* NULL: it is the beginning of a topic */
    struct relay_begin *begin; /* that */
    struct relay_paced_mark mark;
    uint64_t number;
    uint64_t except; /* the number of one who is not told; 0: all are */
};

static void go_on(struct relay_room *room);

static void on_more(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct relay_room *room = arg;
    loop_awake(room->loop);
    go_on(room);
}

void relay_room_init(struct relay_room *room, struct loop *loop, struct metrics *metrics)
{
    *room = (struct relay_room){.loop = loop, .metrics = metrics};
    list_init(&room->receivers);
    list_init(&room->news);
    room->more = evtimer_new(loop_base(loop), on_more, room);
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
    if (room->next == &receiver->entry) {
        room->next = receiver->entry.next;
    }
    list_del(&receiver->entry);
    room->count--;
}

/* ------------------------------------------------------------------------------------ news */

static struct relay_news *first_news(const struct relay_room *room)
{
    return LIST_ITEM(room->news.next, struct relay_news, entry);
}

static size_t talk_of(const struct relay_news *news)
{
    return news->mark.kind == PACED_TALK ? news->chunk->len : 0;
}

static void add_news(struct relay_room *room, struct chunk *chunk, struct relay_paced_mark mark,
                     const struct relay_receiver *except)
{
    struct relay_news *news = mem_alloc(sizeof(*news));
    bool begins = mark.kind == PACED_BEGIN;
    *news = (struct relay_news){
        .chunk = begins ? NULL : chunk_ref(chunk),
        .begin = begins ? relay_begin_new(chunk, mark.topic) : NULL,
        .mark = mark,
        .number = ++room->number,
        .except = except != NULL ? except->number : 0,
    };
    if (list_empty(&room->news)) {
        room->next = room->receivers.next;
    }
    list_push_back(&room->news, &news->entry);
    room->news_count++;
    room->talk += talk_of(news);
}

/* All were told the first of the news. */
static void end_first(struct relay_room *room)
{
    struct relay_news *news = first_news(room);
    room->talk -= talk_of(news);
    room->news_count--;
    room->next = list_empty(&room->news) ? NULL : room->receivers.next;
    list_del(&news->entry);
    chunk_unref(news->chunk);
    if (news->begin != NULL) {
        relay_begin_unref(news->begin);
    }
    free(news);
}

/* Those who came later stand behind: they need no telling. */
static bool is_for(const struct relay_news *news, const struct relay_receiver *receiver)
{
    return receiver->number < news->number;
}

static void tell(struct relay_room *room, struct relay_news *news,
                 const struct relay_receiver *receiver)
{
    if (receiver->number == news->except) {
        return;
    }
    bool sent = news->begin != NULL
                    ? relay_paced_send_begin(receiver->paced, news->begin)
                    : relay_paced_send(receiver->paced, news->chunk, news->mark);
    metrics_add(room->metrics, METRIC_DELIVERIES, sent ? 1 : 0);
}

/* Tells one receiver the first of the news, or ends that where nobody is left. */
static void step(struct relay_room *room)
{
    struct list *at = room->next;
    if (at == &room->receivers ||
        !is_for(first_news(room), LIST_ITEM(at, struct relay_receiver, entry))) {
        end_first(room);
        return;
    }
    room->next = at->next;
    tell(room, first_news(room), LIST_ITEM(at, struct relay_receiver, entry));
}

/* May another one be told in this turn? */
static bool has_turn(struct relay_room *room)
{
    if (room->turn != loop_turn(room->loop)) {
        room->turn = loop_turn(room->loop);
        room->told = 0;
    }
    if (room->told >= TOLD_LEAST && room->told % TOLD_STEP == 0 &&
        loop_turn_us(room->loop) >= TELLING_US) {
        room->told = RELAY_ROOM_TOLD_MOST;
    }
    return room->told < RELAY_ROOM_TOLD_MOST;
}

static void go_on(struct relay_room *room)
{
    while (!list_empty(&room->news) && has_turn(room)) {
        room->told++;
        step(room);
    }
    if (!list_empty(&room->news)) {
        timer_after(room->more, 0);
    }
}

void relay_room_send(struct relay_room *room, struct span bytes, struct relay_paced_mark mark,
                     const struct relay_receiver *except)
{
    if (room->count == 0) {
        return;
    }
    if (mark.kind == PACED_TALK && room->talk + bytes.len > RELAY_ROOM_TALK_MOST) {
        metrics_add(room->metrics, METRIC_PACED_DROPPED, room->count);
        return;
    }
    struct chunk *chunk = chunk_copy(bytes);
    add_news(room, chunk, mark, except);
    chunk_unref(chunk);
    while (room->news_count > RELAY_ROOM_NEWS_MOST) {
        step(room);
    }
    go_on(room);
}

/* The first of the news; the numbers of receivers grow. */
static bool was_told_first(const struct relay_room *room, const struct relay_receiver *receiver)
{
    return room->next == &room->receivers ||
           receiver->number < LIST_ITEM(room->next, struct relay_receiver, entry)->number;
}

void relay_room_tell_rest(struct relay_room *room, const struct relay_receiver *receiver)
{
    LIST_EACH(it, &room->news) {
        struct relay_news *news = LIST_ITEM(it, struct relay_news, entry);
        if (is_for(news, receiver) && !(news == first_news(room) && was_told_first(room, receiver))) {
            tell(room, news, receiver);
        }
    }
}

void relay_room_deinit(struct relay_room *room)
{
    while (!list_empty(&room->news)) {
        end_first(room);
    }
    event_free(room->more);
}
