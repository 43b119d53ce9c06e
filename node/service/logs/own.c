/* SPDX-License-Identifier: MIT */
#include "node/service/logs/own.h"

#include "node/core/log.h"
#include "node/service/logs/entry.h"
#include "store/base/clock.h"
#include "store/base/list.h"
#include "store/base/timer.h"
#include "store/stream.h"

#include <stdlib.h>

enum {
    LOGS_OWN_GATHER_MS = 100,
    LINES_MOST = 1000, /* that wait; then the oldest go */
    LINES_AT_ONCE = 200,
};

struct line {
    struct list entry;
    uint64_t turn; /* the loop's turn in which it was written */
    size_t len;
    char payload[];
};

struct logs_own {
    struct logs_own_options options;
    struct list lines;
    size_t count;
    size_t appending; /* lines under way; 0: none are */
    struct event *timer;
};

static void drop(struct logs_own *own, struct line *line)
{
    list_del(&line->entry);
    own->count--;
    free(line);
}

static void arm(struct logs_own *own)
{
    if (own->count > 0 && own->appending == 0 && !event_pending(own->timer, EV_TIMEOUT, NULL)) {
        timer_after(own->timer, LOGS_OWN_GATHER_MS);
    }
}

static void on_line(void *arg, const char *level, struct span text, size_t msg_at)
{
    struct logs_own *own = arg;
    struct buf payload = {0};
    logs_print_own(&payload, clock_unix_ms(), level, span_skip(text, msg_at), text,
                   own->options.node);
    struct line *line = mem_alloc(sizeof(*line) + payload.len);
    line->turn = loop_turn(own->options.loop);
    line->len = payload.len;
    memcpy(line->payload, payload.ptr, payload.len);
    buf_free(&payload);
    list_push_back(&own->lines, &line->entry);
    if (++own->count > LINES_MOST) {
        metrics_add(own->options.metrics, METRIC_LOGS_OWN_LOST, 1);
        drop(own, LIST_ITEM(own->lines.next, struct line, entry));
    }
    arm(own);
}

static void on_appended(void *arg, const struct stream_result *result)
{
    struct logs_own *own = arg;
    uint64_t turn = loop_turn(own->options.loop);
    size_t lost = own->appending;
    own->appending = 0;
    if (result->outcome != STREAM_STORED) {
        LIST_EACH(it, &own->lines) {
            struct line *line = LIST_ITEM(it, struct line, entry);
            if (line->turn == turn) { /* about this failure: it would fail, and so on for ever */
                drop(own, line);
                lost++;
            }
        }
        metrics_add(own->options.metrics, METRIC_LOGS_OWN_LOST, lost);
    }
    arm(own);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct logs_own *own = arg;
    struct stream_item items[LINES_AT_ONCE];
    unsigned lane = logs_lane(SPAN(""), own->options.lanes);
    size_t count = 0;
    (void)fd, (void)what;
    LIST_EACH(it, &own->lines) {
        struct line *line = LIST_ITEM(it, struct line, entry);
        if (count < LINES_AT_ONCE) {
            items[count++] =
                (struct stream_item){lane, SPAN(""), span_of(line->payload, line->len)};
        }
    }
    bool begun = stream_append(own->options.store, items, count, on_appended, own) == 0;
    own->appending = begun ? count : 0;
    for (size_t i = 0; begun && i < count; i++) {
        drop(own, LIST_ITEM(own->lines.next, struct line, entry));
    }
    arm(own); /* where the store is away: again in a moment */
}

struct logs_own *logs_own_new(const struct logs_own_options *options)
{
    struct logs_own *own = mem_zalloc(sizeof(*own));
    own->options = *options;
    list_init(&own->lines);
    own->timer = event_new(loop_base(options->loop), -1, 0, on_timer, own);
    log_listen(on_line, own);
    return own;
}

void logs_own_free(struct logs_own **own)
{
    if (*own == NULL) {
        return;
    }
    log_listen(NULL, NULL);
    while ((*own)->count > 0) {
        drop(*own, LIST_ITEM((*own)->lines.next, struct line, entry));
    }
    event_free((*own)->timer);
    free(*own);
    *own = NULL;
}
