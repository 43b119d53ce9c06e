/* SPDX-License-Identifier: MIT */
#include "node/service/logs/live.h"

#include "node/service/logs/entry.h"
#include "node/service/logs/live_impl.h"
#include "store/base/clock.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    HELD_MOST = 256 * 1024, /* bytes of messages that wait for a backlog */
    ADMITTED_PER_STEP = 8,  /* listeners */
};

/* Stands before each message that waits for one. */
struct held {
    size_t len;
    struct logs_run run;
};

static struct log_listener *listener_of(struct list *link)
{
    return LIST_ITEM(link, struct log_listener, entry);
}

/* ------------------------------------------------------------------------------------ rooms */

static struct live_room *room_get(struct logs_live *live, struct span name)
{
    struct map_node *node = map_find(&live->rooms, name);
    if (node != NULL) {
        return MAP_ENTRY(node, struct live_room, node);
    }
    struct live_room *room = mem_zalloc(sizeof(*room) + name.len);
    memcpy(room->name, name.ptr, name.len);
    list_init(&room->listeners);
    map_insert(&live->rooms, &room->node, span_of(room->name, name.len));
    return room;
}

bool logs_live_wants(const struct logs_live *live, struct span room)
{
    return room.len == 0 || live->everywhere.next != &live->everywhere ||
           map_find(&live->rooms, room) != NULL;
}

/* ------------------------------------------------------------------------------------ sending */

void logs_listener_skip(struct log_listener *listener, uint64_t count, uint64_t last)
{
    listener->skipped += count;
    listener->last_skipped = last > listener->last_skipped ? last : listener->last_skipped;
}

static bool is_owed(const struct log_listener *listener)
{
    return listener->skipped > 0 || listener->doubts;
}

static void tell_skipped(struct log_listener *listener)
{
    struct buf text = {0}, msg = {0};
    struct shared_message frame;
    if (listener->doubts) {
        buf_append(&msg, SPAN("entries may have been skipped here: Redis was away"));
    } else {
        buf_printf(&msg, "%" PRIu64 " entries were skipped here", listener->skipped);
    }
    listener->skipped = 0;
    listener->doubts = false;
    buf_append(&text, SPAN("["));
    logs_print_note(&text, clock_unix_ms(), listener->last_skipped, buf_span(&msg));
    buf_append(&text, SPAN("]"));
    shared_message_init(&frame, WS_TEXT, buf_span(&text));
    group_send_to(&listener->member, &frame);
    shared_message_deinit(&frame);
    buf_free(&msg);
    buf_free(&text);
}

void logs_listener_send(struct log_listener *listener, struct shared_message *frame,
                        struct logs_run run)
{
    struct metrics *metrics = listener->live->options.metrics;
    size_t limit = listener->live->options.queue_limit / 2;
    size_t queued = conn_queued(ws_conn(listener->member.ws));
    if (!ws_is_open(listener->member.ws) || (run.own && !listener->hears_own)) {
        return;
    }
    /* One that skips goes on only when it has caught up by half. */
    bool room = queued + frame->payload.len <= limit || (queued == 0 && listener->skipped == 0);
    if (!room || (is_owed(listener) && queued > limit / 2)) {
        logs_listener_skip(listener, run.count, run.last);
        metrics_add(metrics, METRIC_LOGS_SKIPPED, run.count);
        return;
    }
    if (is_owed(listener)) {
        tell_skipped(listener);
    }
    group_send_to(&listener->member, frame);
    metrics_add(metrics, METRIC_LOGS_DELIVERED, run.count);
}

void logs_listener_hold(struct log_listener *listener, struct span text, struct logs_run run)
{
    const struct held head = {text.len, run};
    if (listener->held.len + text.len > HELD_MOST) {
        logs_listener_skip(listener, run.count, run.last);
        return;
    }
    buf_append(&listener->held, span_of(&head, sizeof(head)));
    buf_append(&listener->held, text);
}

void logs_live_set_bulk(struct logs_live *live, bool bulk)
{
    if (live->count >= GROUP_BULK_FROM) {
        net_send_bulk(live->options.net, bulk);
    }
}

size_t logs_listener_backlog_done(struct log_listener *listener)
{
    struct span rest = buf_span(&listener->held);
    struct held head;
    size_t sent = 0;
    while (rest.len >= sizeof(head)) {
        struct shared_message frame;
        memcpy(&head, rest.ptr, sizeof(head));
        shared_message_init(&frame, WS_TEXT, span_of(rest.ptr + sizeof(head), head.len));
        logs_listener_send(listener, &frame, head.run);
        shared_message_deinit(&frame);
        rest = span_skip(rest, sizeof(head) + head.len);
        sent++;
    }
    buf_free(&listener->held);
    return sent;
}

/* Told at once to listeners that read; the others hear it when they do. */
void logs_listener_doubt(struct log_listener *listener, uint64_t last)
{
    logs_listener_skip(listener, 0, last);
    listener->doubts = true;
    if (listener->backlog == NULL && ws_is_open(listener->member.ws) &&
        conn_queued(ws_conn(listener->member.ws)) == 0) {
        tell_skipped(listener);
    }
}

/* ------------------------------------------------------------------------------------ listeners */

static void listener_free(struct log_listener *listener)
{
    struct logs_live *live = listener->live;
    logs_news_leave(listener);
    list_del(&listener->all);
    list_del(&listener->entry);
    logs_backlog_cancel(listener);
    if (listener->room != NULL && list_empty(&listener->room->listeners)) {
        logs_news_leave_room(live, listener->room);
        map_remove(&live->rooms, &listener->room->node);
        free(listener->room);
    }
    buf_free(&listener->held);
    live->count--;
    free(listener);
}

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    struct log_listener *listener = arg;
    if (listener->beats && kind == WS_TEXT && span_eq(payload, SPAN("ping"))) {
        ws_send(listener->member.ws, WS_TEXT, SPAN("[]"));
    }
}

static void on_drained(void *arg)
{
    struct log_listener *listener = arg;
    if (is_owed(listener) && listener->backlog == NULL && ws_is_open(listener->member.ws)) {
        tell_skipped(listener);
    }
}

static void on_closing(void *arg)
{
    logs_news_give(arg);
}

static void on_closed(void *arg)
{
    struct log_listener *listener = arg;
    listener_free(listener);
}

static void admit(struct log_listener *listener)
{
    static const struct ws_handler handler = {
        .message = on_message, .drained = on_drained, .closing = on_closing, .closed = on_closed};
    struct logs_live *live = listener->live;
    struct http_request *request = listener->request;
    list_del(&listener->entry);
    live->waits--;
    listener->request = NULL;
    listener->member.ws = ws_accept(request, &handler, listener);
    if (listener->member.ws == NULL) {
        listener_free(listener);
        return;
    }
    list_push_back(listener->room != NULL ? &listener->room->listeners : &live->everywhere,
                   &listener->entry);
    list_push_back(&live->all, &listener->all);
    listener->has = live->walk.number;
    if (listener->wants > 0) {
        logs_backlog_start(listener);
    }
}

/* Thousands may have waited for the store. A net_work. */
static bool admit_some(struct net_work *work)
{
    struct logs_live *live = CONTAINER_OF(work, struct logs_live, admission);
    bool ready = stream_follow_is_ready(live->tail); /* else it says so again when it is */
    for (int left = ADMITTED_PER_STEP; ready && left > 0 && !list_empty(&live->waiting); left--) {
        admit(listener_of(live->waiting.next));
    }
    return ready && !list_empty(&live->waiting);
}

void logs_live_admit(struct logs_live *live)
{
    if (!list_empty(&live->waiting)) {
        net_work_queue(live->options.net, &live->admission);
    }
}

void logs_live_join(struct logs_live *live, struct http_request *request,
                    const struct logs_wish *wish)
{
    struct log_listener *listener = mem_zalloc(sizeof(*listener));
    listener->live = live;
    listener->request = request;
    listener->wants = wish->backlog;
    listener->beats = wish->beats;
    listener->hears_own = wish->own;
    list_init(&listener->member.entry);
    list_init(&listener->sharing);
    list_init(&listener->all);
    list_push_back(&live->waiting, &listener->entry);
    live->waits++;
    listener->room = wish->room.len > 0 ? room_get(live, wish->room) : NULL;
    live->count++;
    if (stream_follow_is_ready(live->tail)) {
        admit(listener);
    } else {
        stream_follow_start(live->tail);
    }
}

/* ------------------------------------------------------------------------------------ life */

static void count_gauges(void *arg, struct metrics *metrics)
{
    const struct logs_live *live = arg;
    metrics_set(metrics, METRIC_LOGS_LISTENERS, live->count - live->waits);
}

struct logs_live *logs_live_new(const struct logs_live_options *options)
{
    struct logs_live *live = mem_zalloc(sizeof(*live));
    live->options = *options;
    map_init(&live->rooms);
    list_init(&live->all);
    list_init(&live->everywhere);
    list_init(&live->waiting);
    net_work_init(&live->admission, admit_some);
    logs_news_init(live);
    logs_backlog_init(live);
    live->tail = logs_tail_new(live);
    metrics_source_add(options->metrics, &live->gauges, count_gauges, live);
    return live;
}

void logs_live_free(struct logs_live **live)
{
    if (*live == NULL) {
        return;
    }
    metrics_source_remove((*live)->options.metrics, &(*live)->gauges);
    while (!list_empty(&(*live)->waiting)) {
        struct log_listener *listener = listener_of((*live)->waiting.next);
        http_reply_error(listener->request, 503, "the node is going away");
        listener_free(listener);
    }
    net_work_cancel(&(*live)->admission);
    logs_backlog_deinit(*live);
    logs_news_deinit(*live);
    stream_follow_free(&(*live)->tail);
    map_deinit(&(*live)->rooms);
    free(*live);
    *live = NULL;
}
