/* SPDX-License-Identifier: MIT */
/* News: what the tail has for listeners, in its order.
 *
 *     tail --> news, the oldest first --some listeners in each turn--> those whom it concerns
 *
 * One is with all before the next begins, so each listener has them in order. They are numbered, so that
 * one that comes meanwhile, whose backlog has some, or that is closed and given the rest at once, has none
 * twice. Where too many bytes of them wait, the tail is not read on: the stream keeps what comes. */
#include "node/service/logs/live_impl.h"

#include <stdlib.h>

enum {
    NEWS_PER_TURN = 256, /* listeners that are sent something as soon as it comes, */
    NEWS_PER_STEP = 64,  /* and in each step of the rest */
    NEWS_BYTES = 256,    /* of a message, to be packed for them, take as long as one listener, */
    NEWS_OWN = 8,        /* and a message of his own as long as so many */
};

enum news_kind { NEWS_ENTRIES, NEWS_MISSED, NEWS_DOUBT };

struct logs_news {
    struct list entry;
    uint64_t number;
    enum news_kind kind;
    struct buf room;     /* of entries; empty: all */
    struct buf text;     /* of entries */
    struct logs_run run; /* of those that are missing, too */
    struct shared_message frame;
};

static struct logs_news *first(const struct logs_walk *walk)
{
    return LIST_ITEM(walk->news.next, struct logs_news, entry);
}

static void take(struct log_listener *listener, struct logs_news *news)
{
    bool covered = logs_backlog_covers(listener, news->number);
    if (news->kind == NEWS_DOUBT) {
        logs_listener_doubt(listener, news->run.last);
    } else if (covered) {
        return;
    } else if (news->kind == NEWS_MISSED) {
        logs_listener_skip(listener, news->run.count, news->run.last);
    } else if (listener->backlog != NULL) {
        logs_listener_hold(listener, buf_span(&news->text), news->run);
    } else {
        logs_listener_send(listener, &news->frame, news->run);
    }
}

static void give(struct log_listener *listener, struct logs_news *news)
{
    if (listener->has < news->number) {
        listener->has = news->number;
        take(listener, news);
    }
}

/* ------------------------------------------------------------------------------------ the walk */

static bool is_for_room(const struct logs_news *news)
{
    return news->room.len > 0;
}

/* Returns how long that takes: as with so many listeners. */
static unsigned begin(struct logs_live *live, const struct logs_news *news)
{
    cursor_begin(&live->walk.at, is_for_room(news) ? &live->everywhere : &live->all);
    return 1 + (unsigned)(news->text.len / NEWS_BYTES);
}

/* Behind those who hear everything come those of the room. False: the news is with all. */
static bool go_on_to_room(struct logs_live *live, const struct logs_news *news)
{
    struct map_node *node = NULL;
    if (live->walk.at.head == &live->everywhere) {
        node = map_find(&live->rooms, buf_span(&news->room));
    }
    if (node != NULL) {
        cursor_begin(&live->walk.at, &MAP_ENTRY(node, struct live_room, node)->listeners);
    }
    return node != NULL;
}

static void drop_first(struct logs_walk *walk)
{
    struct logs_news *news = first(walk);
    walk->at = (struct cursor){0};
    walk->bytes -= news->text.len;
    list_del(&news->entry);
    shared_message_deinit(&news->frame);
    buf_free(&news->room);
    buf_free(&news->text);
    free(news);
}

/* NULL: the list is at its end. */
static struct log_listener *take_listener(struct logs_live *live)
{
    struct list *link = cursor_take(&live->walk.at);
    if (link == NULL) {
        return NULL;
    }
    return live->walk.at.head == &live->all ? LIST_ITEM(link, struct log_listener, all)
                                            : LIST_ITEM(link, struct log_listener, entry);
}

static void spend(unsigned *left, unsigned cost)
{
    *left -= cost < *left ? cost : *left;
}

/* Takes from `left` what was done of it. */
static void walk_on(struct logs_live *live, unsigned *left)
{
    struct logs_walk *walk = &live->walk;
    logs_live_set_bulk(live, true);
    while (*left > 0 && !list_empty(&walk->news)) {
        struct logs_news *news = first(walk);
        if (walk->at.head == NULL) {
            spend(left, begin(live, news));
        }
        struct log_listener *listener;
        while (*left > 0 && (listener = take_listener(live)) != NULL) {
            give(listener, news);
            spend(left, news->kind == NEWS_DOUBT ? NEWS_OWN : 1);
        }
        if (cursor_next(&walk->at) == NULL && !go_on_to_room(live, news)) {
            drop_first(walk);
        }
    }
    logs_live_set_bulk(live, false);
}

static bool step(struct net_work *work)
{
    struct logs_live *live = CONTAINER_OF(work, struct logs_live, walk.work);
    unsigned left = NEWS_PER_STEP;
    walk_on(live, &left);
    return !list_empty(&live->walk.news);
}

/* ------------------------------------------------------------------------------------ the tail's calls */

static struct logs_news *push(struct logs_live *live, enum news_kind kind, struct logs_run run)
{
    struct logs_news *news = mem_zalloc(sizeof(*news));
    news->number = ++live->walk.number;
    news->kind = kind;
    news->run = run;
    list_push_back(&live->walk.news, &news->entry);
    return news;
}

/* As much as this turn has time for goes at once. */
static void set_out(struct logs_live *live)
{
    struct logs_walk *walk = &live->walk;
    uint64_t turn = loop_turn(net_loop(live->options.net));
    if (walk->turn != turn) {
        walk->turn = turn;
        walk->left = NEWS_PER_TURN;
    }
    walk_on(live, &walk->left);
    if (!list_empty(&walk->news)) {
        net_work_queue(live->options.net, &walk->work);
    }
}

void logs_live_deliver(struct logs_live *live, struct span room, struct span text,
                       struct logs_run run)
{
    struct logs_news *news = push(live, NEWS_ENTRIES, run);
    buf_append(&news->room, room);
    buf_append(&news->text, text);
    shared_message_init(&news->frame, WS_TEXT, buf_span(&news->text));
    live->walk.bytes += text.len;
    set_out(live);
}

void logs_live_missed(struct logs_live *live, uint64_t count, uint64_t last)
{
    metrics_add(live->options.metrics, METRIC_LOGS_MISSED, count);
    push(live, NEWS_MISSED, (struct logs_run){.count = count, .last = last});
    set_out(live);
}

void logs_live_doubt(struct logs_live *live, uint64_t last)
{
    push(live, NEWS_DOUBT, (struct logs_run){.last = last});
    set_out(live);
}

bool logs_news_are_full(const struct logs_live *live)
{
    return live->walk.bytes > live->options.queue_limit / 4;
}

/* ------------------------------------------------------------------------------------ listeners */

static bool concerns(const struct logs_news *news, const struct log_listener *listener)
{
    return !is_for_room(news) || listener->room == NULL ||
           span_eq(map_key(&listener->room->node), buf_span(&news->room));
}

void logs_news_give(struct log_listener *listener)
{
    LIST_EACH(it, &listener->live->walk.news) {
        struct logs_news *news = LIST_ITEM(it, struct logs_news, entry);
        if (concerns(news, listener)) {
            give(listener, news);
        }
    }
}

void logs_news_leave(struct log_listener *listener)
{
    struct cursor *at = &listener->live->walk.at;
    cursor_leave(at, &listener->entry);
    cursor_leave(at, &listener->all);
}

/* The walk through it is at its end, as it was with `everywhere`. */
void logs_news_leave_room(struct logs_live *live, const struct live_room *room)
{
    if (live->walk.at.head == &room->listeners) {
        live->walk.at = (struct cursor){.head = &live->everywhere, .at = &live->everywhere};
    }
}

void logs_news_init(struct logs_live *live)
{
    list_init(&live->walk.news);
    net_work_init(&live->walk.work, step);
}

void logs_news_deinit(struct logs_live *live)
{
    net_work_cancel(&live->walk.work);
    while (!list_empty(&live->walk.news)) {
        drop_first(&live->walk);
    }
}
