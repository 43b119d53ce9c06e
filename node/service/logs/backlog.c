/* SPDX-License-Identifier: MIT */
/* The entries from before a listener came: each lane that can hold some is read backwards from
 * where the tail stands, until enough are found; then the newest of all go out in order.
 *
 *     line: one for each room and number --a few at once, one of each address, paced--> read
 *       --over several turns, where they are many--> all that share it
 *
 * A short request may cause a long search: so what is read is bounded in entries and bytes, and the node's
 * searches together by a rate. */
#include "node/service/logs/entry.h"
#include "node/service/logs/live_impl.h"
#include "store/base/clock.h"
#include "store/base/timer.h"

#include <stdlib.h>

enum {
    PAGE_FIRST = 16, /* entries; the next ones by their size: */
    PAGE_MOST = 500,
    PAGE_BYTES = 256 * 1024,
    SCAN_MOST = 50000,            /* entries of a lane that are looked through, */
    SCAN_BYTES = 4 * 1024 * 1024, /* and bytes of them */
    BACKLOGS_AT_ONCE = 4,         /* of a node; of an address one */
    BACKLOG_BYTES_MS = 20 * 1024, /* what a node reads for them in a millisecond, on average */
    LOGS_BACKLOG_MESSAGE_BYTES = 64 * 1024,
    HANDED_PER_STEP = 64, /* messages, of one to many or of many to one */
};

struct backlog_found {
    uint64_t seq;
    size_t tag_at, tag_len, payload_len; /* in text, the payload behind the tag */
};

struct lane_scan {
    struct backlog *backlog;
    struct stream_end end;
    bool roomless; /* the lane is read for entries without a room only */
    size_t scanned, matched, bytes, page;
    uint64_t last; /* up to which is read now */
};

/* A message of what was found. */
struct backlog_frame {
    struct list entry;
    struct buf text;
    struct shared_message message;
    struct logs_run run;
};

struct backlog {
    struct list entry;
    struct logs_live *live;
    struct list listeners; /* that share it; empty: all have gone */
    struct address from;   /* of the first of them */
    struct buf room;       /* empty: all */
    size_t wants;
    unsigned open; /* lanes still being read */
    uint64_t
        unread; /* 0, or the number behind which entries of a lane were not read: its server is away */
    struct backlog_found *found;
    size_t count, cap;
    struct buf text;
    bool begun;
    uint64_t covers;     /* news up to this number is in what is found */
    struct list frames;  /* struct backlog_frame: the first one is being handed out */
    struct cursor at;    /* in `listeners`: the next one that gets it */
    struct net_work out; /* hands out */
    size_t lanes;
    struct lane_scan scans[STREAM_ENDS_MOST];
};

static struct log_listener *sharer_of(struct list *link)
{
    return LIST_ITEM(link, struct log_listener, sharing);
}

static void detach(struct log_listener *listener)
{
    struct backlog *backlog = listener->backlog;
    if (backlog != NULL) {
        cursor_leave(&backlog->at, &listener->sharing);
    }
    listener->backlog = NULL;
    list_del(&listener->sharing);
}

static void frame_free(struct backlog_frame *frame)
{
    list_del(&frame->entry);
    shared_message_deinit(&frame->message);
    buf_free(&frame->text);
    free(frame);
}

static void backlog_free(struct backlog *backlog)
{
    LIST_EACH(it, &backlog->listeners) {
        detach(sharer_of(it));
    }
    while (!list_empty(&backlog->frames)) {
        frame_free(LIST_ITEM(backlog->frames.next, struct backlog_frame, entry));
    }
    net_work_cancel(&backlog->out);
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

/* Takes the text. */
static void add_frame(struct backlog *backlog, struct buf *text, struct logs_run run)
{
    struct backlog_frame *frame = mem_zalloc(sizeof(*frame));
    buf_append(text, SPAN("]"));
    frame->text = *text;
    frame->run = run;
    *text = (struct buf){0};
    shared_message_init(&frame->message, WS_TEXT, buf_span(&frame->text));
    list_push_back(&backlog->frames, &frame->entry);
}

/* Runs of one room, each a message. */
static void print_found(struct backlog *backlog)
{
    struct buf text = {0};
    struct logs_run run = {0};
    for (size_t i = first_to_send(backlog); i < backlog->count; i++) {
        const struct backlog_found *found = &backlog->found[i];
        struct span tag = tag_of(backlog, found);
        bool own = logs_is_own(tag, span_of(tag.ptr + tag.len, found->payload_len));
        bool fits = text.len < LOGS_BACKLOG_MESSAGE_BYTES && own == run.own;
        if (run.count > 0 && (!fits || !span_eq(tag, tag_of(backlog, found - 1)))) {
            add_frame(backlog, &text, run);
            run.count = 0;
        }
        run.own = own;
        buf_append(&text, run.count++ > 0 ? SPAN(",") : SPAN("["));
        logs_print(&text, found->seq, span_of(tag.ptr + tag.len, found->payload_len));
        run.last = found->seq;
    }
    if (run.count > 0) {
        add_frame(backlog, &text, run);
    }
}

/* What was read is paid for in time. */
static void pay(const struct backlog *backlog)
{
    struct logs_live *live = backlog->live;
    uint64_t now = clock_monotonic_ms(), bytes = 0;
    for (size_t i = 0; i < backlog->lanes; i++) {
        bytes += backlog->scans[i].bytes;
    }
    live->backlog_pause_ms =
        (live->backlog_pause_ms > now ? live->backlog_pause_ms : now) + bytes / BACKLOG_BYTES_MS;
}

/* The first frame goes to some more of the listeners. */
static void hand_frame(struct backlog *backlog)
{
    struct backlog_frame *frame = LIST_ITEM(backlog->frames.next, struct backlog_frame, entry);
    struct list *link;
    for (int left = HANDED_PER_STEP; left > 0 && (link = cursor_take(&backlog->at)) != NULL;
         left--) {
        logs_listener_send(sharer_of(link), &frame->message, frame->run);
    }
    if (cursor_next(&backlog->at) == NULL) {
        frame_free(frame);
        cursor_begin(&backlog->at, &backlog->listeners);
    }
}

/* All frames are out: some listeners have what was held meanwhile, and go on as others do. */
static void let_go(struct backlog *backlog)
{
    int left = HANDED_PER_STEP;
    while (left > 0 && !list_empty(&backlog->listeners)) {
        struct log_listener *listener = sharer_of(backlog->listeners.next);
        detach(listener);
        if (backlog->unread > 0) {
            logs_listener_doubt(listener, backlog->unread);
        }
        left -= 1 + (int)logs_listener_backlog_done(listener);
    }
}

/* A net_work: thousands may share it. */
static bool hand_out(struct net_work *work)
{
    struct backlog *backlog = CONTAINER_OF(work, struct backlog, out);
    struct logs_live *live = backlog->live;
    logs_live_set_bulk(live, true);
    if (!list_empty(&backlog->frames)) {
        hand_frame(backlog);
    } else {
        let_go(backlog);
    }
    logs_live_set_bulk(live, false);
    if (!list_empty(&backlog->listeners)) {
        return true;
    }
    pay(backlog);
    backlog_free(backlog);
    timer_after(live->backlog_timer, 0);
    return false;
}

static void lane_done(struct backlog *backlog)
{
    if (--backlog->open > 0) {
        return;
    }
    if (backlog->count > 0) {
        qsort(backlog->found, backlog->count, sizeof(*backlog->found), by_seq);
    }
    print_found(backlog);
    cursor_begin(&backlog->at, &backlog->listeners);
    net_work_queue(backlog->live->options.net, &backlog->out);
}

/* ------------------------------------------------------------------------------------ reading */

static void read_page(struct lane_scan *scan, uint64_t last);

/* Its server is away. The listener is told that there may be more. */
static void lane_unread(struct lane_scan *scan, uint64_t last)
{
    struct backlog *backlog = scan->backlog;
    backlog->unread = last > backlog->unread ? last : backlog->unread;
    lane_done(backlog);
}

static void keep(struct backlog *backlog, const struct stream_entry *entry)
{
    if (backlog->count == backlog->cap) {
        backlog->cap = backlog->cap > 0 ? backlog->cap * 2 : 64;
        backlog->found = mem_realloc(backlog->found, backlog->cap * sizeof(*backlog->found));
    }
    backlog->found[backlog->count++] =
        (struct backlog_found){entry->seq, backlog->text.len, entry->tag.len, entry->payload.len};
    buf_append(&backlog->text, entry->tag);
    buf_append(&backlog->text, entry->payload);
}

/* As many as have about PAGE_BYTES, going by those that were seen. */
static size_t next_page(const struct lane_scan *scan)
{
    size_t fit = PAGE_BYTES / (scan->bytes / scan->scanned + 1);
    return fit < 1 ? 1 : fit < PAGE_MOST ? fit : PAGE_MOST;
}

static bool reads_on(const struct lane_scan *scan)
{
    const struct backlog *backlog = scan->backlog;
    return scan->matched < backlog->wants && scan->scanned < SCAN_MOST &&
           scan->bytes < SCAN_BYTES && !list_empty(&backlog->listeners);
}

static void on_page(void *arg, bool ok, const struct stream_head *head,
                    const struct stream_entry *entries, size_t count)
{
    struct lane_scan *scan = arg;
    struct backlog *backlog = scan->backlog;
    struct span room = buf_span(&backlog->room);
    bool full = count == scan->page;
    (void)head;
    for (size_t i = 0; i < count && scan->matched < backlog->wants; i++) {
        scan->bytes += entries[i].tag.len + entries[i].payload.len;
        if (room.len == 0 || entries[i].tag.len == 0 || span_eq(room, entries[i].tag)) {
            keep(backlog, &entries[i]);
            scan->matched += scan->roomless || counts(backlog, entries[i].tag.len);
        }
    }
    scan->scanned += count;
    if (ok && full && reads_on(scan)) {
        scan->page = next_page(scan);
        read_page(scan, entries[count - 1].seq - 1);
    } else if (!ok) {
        lane_unread(scan, scan->last);
    } else {
        lane_done(backlog);
    }
}

static void read_page(struct lane_scan *scan, uint64_t last)
{
    struct store *store = scan->backlog->live->options.store;
    scan->last = last;
    if (stream_end_read_back(store, &scan->end, last, scan->page, on_page, scan) != 0) {
        lane_unread(scan, last);
    }
}

/* Lanes beyond ours are from a time with more of them: then a room may be in any. */
static bool has_more_lanes(const struct stream_end *ends, size_t count, unsigned lanes)
{
    bool more = false;
    for (size_t i = 0; i < count; i++) {
        more = more || ends[i].lane >= lanes;
    }
    return more;
}

/* From where the tail stands now: what it told until here is part of it. */
static void begin(struct backlog *backlog)
{
    struct logs_live *live = backlog->live;
    struct span room = buf_span(&backlog->room);
    unsigned lanes = live->options.lanes;
    backlog->begun = true;
    backlog->covers = live->walk.number;
    struct stream_end ends[STREAM_ENDS_MOST];
    backlog->lanes = stream_follow_ends(live->tail, ends);
    list_del(&backlog->entry);
    list_push_back(&live->backlogs, &backlog->entry);
    backlog->open = 1; /* this function's own */
    bool any = room.len == 0 || has_more_lanes(ends, backlog->lanes, lanes);
    for (size_t i = 0; i < backlog->lanes; i++) {
        bool its = ends[i].lane == logs_lane(room, lanes);
        if (any || its || ends[i].lane == logs_lane(SPAN(""), lanes)) {
            backlog->scans[i] = (struct lane_scan){
                .backlog = backlog, .end = ends[i], .roomless = !any && !its, .page = PAGE_FIRST};
            backlog->open++;
            read_page(&backlog->scans[i], ends[i].seq);
        }
    }
    lane_done(backlog);
}

/* How many are being read; *same: is one of them for this address? */
static unsigned count_read(const struct logs_live *live, const struct address *from, bool *same)
{
    unsigned count = 0;
    *same = false;
    for (struct list *it = live->backlogs.next; it != &live->backlogs; it = it->next) {
        const struct backlog *backlog = LIST_ITEM(it, struct backlog, entry);
        *same |= address_same_source(&backlog->from, from);
        count++;
    }
    return count;
}

/* The first in the line that may be read now, if any may. */
static struct backlog *first_of_line(struct logs_live *live)
{
    bool same;
    LIST_EACH(it, &live->backlog_line) {
        struct backlog *backlog = LIST_ITEM(it, struct backlog, entry);
        if (count_read(live, &backlog->from, &same) >= BACKLOGS_AT_ONCE) {
            return NULL;
        }
        if (!same) {
            return backlog;
        }
    }
    return NULL;
}

static void begin_next(struct logs_live *live)
{
    struct backlog *backlog;
    while ((backlog = first_of_line(live)) != NULL) {
        uint64_t now = clock_monotonic_ms();
        if (live->backlog_pause_ms > now) {
            timer_after(live->backlog_timer, live->backlog_pause_ms - now);
            return;
        }
        begin(backlog);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct logs_live *live = arg;
    (void)fd, (void)what;
    begin_next(live);
}

/* One in the line that reads just that. */
static struct backlog *find_same(struct logs_live *live, struct span room, size_t wants)
{
    LIST_EACH(it, &live->backlog_line) {
        struct backlog *backlog = LIST_ITEM(it, struct backlog, entry);
        if (backlog->wants == wants && span_eq(buf_span(&backlog->room), room)) {
            return backlog;
        }
    }
    return NULL;
}

static struct backlog *backlog_new(struct log_listener *listener, struct span room)
{
    struct backlog *backlog = mem_zalloc(sizeof(*backlog));
    backlog->live = listener->live;
    backlog->from = *conn_peer(ws_conn(listener->member.ws));
    backlog->wants = listener->wants;
    list_init(&backlog->listeners);
    list_init(&backlog->frames);
    net_work_init(&backlog->out, hand_out);
    buf_append(&backlog->room, room);
    list_push_back(&listener->live->backlog_line, &backlog->entry);
    return backlog;
}

void logs_backlog_start(struct log_listener *listener)
{
    struct logs_live *live = listener->live;
    struct span room = listener->room != NULL ? map_key(&listener->room->node) : SPAN("");
    struct backlog *backlog = find_same(live, room, listener->wants);
    listener->backlog = backlog != NULL ? backlog : backlog_new(listener, room);
    list_push_back(&listener->backlog->listeners, &listener->sharing);
    begin_next(live);
}

void logs_backlog_cancel(struct log_listener *listener)
{
    struct backlog *backlog = listener->backlog;
    detach(listener);
    /* One that has begun ends by itself. */
    if (backlog != NULL && !backlog->begun && list_empty(&backlog->listeners)) {
        backlog_free(backlog);
    }
}

bool logs_backlog_covers(const struct log_listener *listener, uint64_t number)
{
    const struct backlog *backlog = listener->backlog;
    return backlog != NULL && (!backlog->begun || number <= backlog->covers);
}

void logs_backlog_init(struct logs_live *live)
{
    list_init(&live->backlogs);
    list_init(&live->backlog_line);
    live->backlog_timer = event_new(loop_base(net_loop(live->options.net)), -1, 0, on_timer, live);
}

void logs_backlog_deinit(struct logs_live *live)
{
    struct list *const lines[] = {&live->backlogs, &live->backlog_line};
    for (size_t i = 0; i < 2; i++) {
        while (!list_empty(lines[i])) {
            backlog_free(LIST_ITEM(lines[i]->next, struct backlog, entry));
        }
    }
    event_free(live->backlog_timer);
}
