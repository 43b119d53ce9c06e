/* SPDX-License-Identifier: MIT */
/* The tail: what is new in the stream (store/stream_follow.h), gathered by room, while any listen. */
#include "node/service/logs/entry.h"
#include "node/service/logs/live_impl.h"

#include <stdlib.h>

enum { LOGS_TAIL_MESSAGE_BYTES = 32 * 1024 }; /* after which a message ends */

/* Entries of one room, gathered from one answer. */
struct tail_room {
    struct map_node node;
    struct list entry;
    struct buf text;
    struct logs_run run;
    struct span room; /* borrowed from the answer */
};

struct groups {
    struct map by_room;
    struct list order;
};

static struct tail_room *group_get(struct groups *groups, struct span room)
{
    struct map_node *node = map_find(&groups->by_room, room);
    if (node != NULL) {
        return MAP_ENTRY(node, struct tail_room, node);
    }
    struct tail_room *group = mem_zalloc(sizeof(*group));
    group->room = room;
    list_push_back(&groups->order, &group->entry);
    map_insert(&groups->by_room, &group->node, room);
    return group;
}

static void flush(struct logs_live *live, struct tail_room *group)
{
    if (group->run.count > 0) {
        buf_append(&group->text, SPAN("]"));
        logs_live_deliver(live, group->room, buf_span(&group->text), group->run);
        group->text.len = 0;
        group->run.count = 0;
    }
}

static void add(struct logs_live *live, struct tail_room *group, const struct stream_entry *entry)
{
    bool own = logs_is_own(entry->tag, entry->payload);
    if (own != group->run.own) {
        flush(live, group);
        group->run.own = own;
    }
    buf_append(&group->text, group->run.count++ > 0 ? SPAN(",") : SPAN("["));
    logs_print(&group->text, entry->seq, entry->payload);
    group->run.last = entry->seq;
    if (group->text.len >= LOGS_TAIL_MESSAGE_BYTES ||
        group->text.len >= live->options.queue_limit / 8) {
        flush(live, group);
    }
}

static void on_entries(void *arg, const struct stream_entry *entries, size_t count)
{
    struct logs_live *live = arg;
    struct groups groups;
    map_init(&groups.by_room);
    list_init(&groups.order);
    for (size_t i = 0; i < count; i++) {
        if (logs_live_wants(live, entries[i].tag)) {
            add(live, group_get(&groups, entries[i].tag), &entries[i]);
        }
    }
    while (!list_empty(&groups.order)) {
        struct tail_room *group = LIST_ITEM(groups.order.next, struct tail_room, entry);
        flush(live, group);
        list_del(&group->entry);
        buf_free(&group->text);
        free(group);
    }
    map_deinit(&groups.by_room);
}

static bool is_wanted(void *arg)
{
    return ((const struct logs_live *)arg)->count > 0;
}

static bool is_busy(void *arg)
{
    return logs_news_are_full(arg);
}

static void on_ready(void *arg)
{
    logs_live_admit(arg);
}

static void on_missed(void *arg, uint64_t count, uint64_t last)
{
    logs_live_missed(arg, count, last);
}

static void on_doubt(void *arg, uint64_t last)
{
    logs_live_doubt(arg, last);
}

struct stream_follow *logs_tail_new(struct logs_live *live)
{
    static const struct stream_follow_events events = {
        .wanted = is_wanted,
        .busy = is_busy,
        .ready = on_ready,
        .entries = on_entries,
        .missed = on_missed,
        .doubt = on_doubt,
    };
    return stream_follow_new(
        &(struct stream_follow_options){.store = live->options.store,
                                        .lanes = live->options.lanes,
                                        .budget = live->options.queue_limit / 4,
                                        .events = &events,
                                        .arg = live});
}
