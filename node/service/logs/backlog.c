/* SPDX-License-Identifier: MIT */
/* The entries from before a listener came: each lane that can hold some is read backwards from
 * where the tail stands, until enough are found; then the newest of all go out in order. */
#include "node/service/logs/entry.h"
#include "node/service/logs/live_impl.h"

#include <stdlib.h>

enum {
    PAGE = 500,
    SCAN_MOST = 50000, /* entries of a lane that are looked through */
    LOGS_BACKLOG_MESSAGE_BYTES = 64 * 1024,
};

struct backlog_found {
    uint64_t seq;
    size_t tag_at, tag_len, payload_len; /* in text, the payload behind the tag */
};

struct lane_scan {
    struct backlog *backlog;
    unsigned lane;
    bool roomless; /* the lane is read for entries without a room only */
    size_t scanned, matched;
};

struct backlog {
    struct list entry;
    struct logs_live *live;
    struct log_listener *listener; /* NULL: it has gone */
    struct buf room;               /* empty: all */
    size_t wants;
    unsigned open; /* lanes still being read */
    struct backlog_found *found;
    size_t count, cap;
    struct buf text;
    unsigned lanes;
    struct lane_scan scans[STREAM_LANES_MOST];
};

static void backlog_free(struct backlog *backlog)
{
    list_del(&backlog->entry);
    buf_free(&backlog->room);
    buf_free(&backlog->text);
    free(backlog->found);
    free(backlog);
}

/* ------------------------------------------------------------------------------------ sending */

static int by_seq(const void *a, const void *b)
{
    const struct backlog_found *x = a, *y = b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static struct span tag_of(const struct backlog *backlog, const struct backlog_found *found)
{
    return span_of(backlog->text.ptr + found->tag_at, found->tag_len);
}

/* It counts among the entries that were asked for; entries without a room come along. */
static bool counts(const struct backlog *backlog, size_t tag_len)
{
    return backlog->room.len == 0 || tag_len > 0;
}

/* The first of the newest that are wanted and for which a listener's queue has room. */
static size_t first_to_send(const struct backlog *backlog)
{
    size_t bytes = 0, limit = backlog->live->options.queue_limit / 4;
    size_t first = backlog->count, wanted = 0;
    for (size_t i = backlog->count; i > 0 && wanted < backlog->wants && bytes < limit; i--) {
        bytes += backlog->found[i - 1].payload_len;
        if (counts(backlog, backlog->found[i - 1].tag_len)) {
            wanted++;
            first = i - 1;
        }
    }
    return first;
}

static void send_text(struct log_listener *listener, struct buf *text, struct logs_run run)
{
    struct shared_message frame;
    buf_append(text, SPAN("]"));
    shared_message_init(&frame, WS_TEXT, buf_span(text));
    logs_listener_send(listener, &frame, run);
    shared_message_deinit(&frame);
    text->len = 0;
}

/* Runs of one room, each a message. */
static void send_found(struct backlog *backlog)
{
    struct buf text = {0};
    struct logs_run run = {0};
    for (size_t i = first_to_send(backlog); i < backlog->count; i++) {
        const struct backlog_found *found = &backlog->found[i];
        struct span tag = tag_of(backlog, found);
        if (run.count > 0 &&
            (text.len >= LOGS_BACKLOG_MESSAGE_BYTES || !span_eq(tag, tag_of(backlog, found - 1)))) {
            send_text(backlog->listener, &text, run);
            run.count = 0;
        }
        buf_append(&text, run.count++ > 0 ? SPAN(",") : SPAN("["));
        logs_print(&text, found->seq, span_of(tag.ptr + tag.len, found->payload_len));
        run.last = found->seq;
    }
    if (run.count > 0) {
        send_text(backlog->listener, &text, run);
    }
    buf_free(&text);
}

static void lane_done(struct backlog *backlog)
{
    if (--backlog->open > 0) {
        return;
    }
    struct log_listener *listener = backlog->listener;
    if (listener != NULL) {
        if (backlog->count > 0) {
            qsort(backlog->found, backlog->count, sizeof(*backlog->found), by_seq);
        }
        send_found(backlog);
        listener->backlog = NULL;
        logs_listener_backlog_done(listener);
    }
    backlog_free(backlog);
}

/* ------------------------------------------------------------------------------------ reading */

static void read_page(struct lane_scan *scan, uint64_t last);

static void on_page(void *arg, bool ok, const struct stream_head *head,
                    const struct stream_entry *entries, size_t count)
{
    struct lane_scan *scan = arg;
    struct backlog *backlog = scan->backlog;
    struct span room = buf_span(&backlog->room);
    (void)head;
    for (size_t i = 0; i < count && scan->matched < backlog->wants; i++) {
        if (room.len == 0 || entries[i].tag.len == 0 || span_eq(room, entries[i].tag)) {
            if (backlog->count == backlog->cap) {
                backlog->cap = backlog->cap > 0 ? backlog->cap * 2 : 64;
                backlog->found =
                    mem_realloc(backlog->found, backlog->cap * sizeof(*backlog->found));
            }
            backlog->found[backlog->count++] = (struct backlog_found){
                entries[i].seq, backlog->text.len, entries[i].tag.len, entries[i].payload.len};
            buf_append(&backlog->text, entries[i].tag);
            buf_append(&backlog->text, entries[i].payload);
            scan->matched += scan->roomless || counts(backlog, entries[i].tag.len);
        }
    }
    scan->scanned += count;
    bool more = ok && count == PAGE && scan->matched < backlog->wants &&
                scan->scanned < SCAN_MOST && backlog->listener != NULL;
    if (more) {
        read_page(scan, entries[count - 1].seq - 1);
    } else {
        lane_done(backlog);
    }
}

static void read_page(struct lane_scan *scan, uint64_t last)
{
    struct store *store = scan->backlog->live->options.store;
    if (stream_read_back(store, scan->lane, last, PAGE, on_page, scan) != 0) {
        lane_done(scan->backlog);
    }
}

static bool may_hold(const struct backlog *backlog, unsigned lane)
{
    struct span room = buf_span(&backlog->room);
    unsigned lanes = backlog->live->options.lanes;
    /* Lanes beyond ours are from a time with more of them: then a room may be in any. */
    return room.len == 0 || backlog->lanes > lanes || lane == logs_lane(room, lanes) ||
           lane == logs_lane(SPAN(""), lanes);
}

void logs_backlog_start(struct log_listener *listener)
{
    struct logs_live *live = listener->live;
    struct backlog *backlog = mem_zalloc(sizeof(*backlog));
    unsigned lanes = live->options.lanes;
    backlog->live = live;
    backlog->listener = listener;
    backlog->wants = listener->wants;
    backlog->lanes = live->tail.lanes;
    list_push_back(&live->backlogs, &backlog->entry);
    listener->backlog = backlog;
    if (listener->room != NULL) {
        buf_append(&backlog->room, map_key(&listener->room->node));
    }
    backlog->open = 1; /* this function's own */
    for (unsigned i = 0; i < live->tail.lanes; i++) {
        if (may_hold(backlog, i)) {
            backlog->scans[i] = (struct lane_scan){.backlog = backlog, .lane = i};
            backlog->scans[i].roomless = backlog->room.len > 0 && backlog->lanes <= lanes &&
                                         i != logs_lane(buf_span(&backlog->room), lanes);
            backlog->open++;
            read_page(&backlog->scans[i], live->tail.places[i].seq);
        }
    }
    lane_done(backlog);
}

void logs_backlog_cancel(struct log_listener *listener)
{
    if (listener->backlog != NULL) {
        listener->backlog->listener = NULL;
        listener->backlog = NULL;
    }
}

void logs_backlog_free_all(struct logs_live *live)
{
    while (!list_empty(&live->backlogs)) {
        backlog_free(LIST_ITEM(live->backlogs.next, struct backlog, entry));
    }
}
