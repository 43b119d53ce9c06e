/* SPDX-License-Identifier: MIT */
#include "store/memory/stream.h"

#include "store/base/clock.h"

#include <inttypes.h>

struct kept {
    struct list entry;
    uint64_t seq, ordinal, call;
    uint32_t index;
    struct span tag, payload; /* in `chunk`, which has the others of its append, too */
    struct chunk *chunk;
    uint32_t node_len;
    char node[];
};

static struct kept *kept_of(struct list *link)
{
    return CONTAINER_OF(link, struct kept, entry);
}

void memory_streams_init(struct memory_streams *streams)
{
    *streams = (struct memory_streams){0};
    for (unsigned i = 0; i < STREAM_LANES_MOST; i++) {
        list_init(&streams->lanes[i].entries);
    }
}

static void drop_first(struct memory_lane *lane)
{
    struct kept *first = kept_of(lane->entries.next);
    list_del(&first->entry);
    chunk_unref(first->chunk);
    free(first);
    lane->length--;
}

void memory_streams_deinit(struct memory_streams *streams)
{
    for (unsigned i = 0; i < STREAM_LANES_MOST; i++) {
        while (!list_empty(&streams->lanes[i].entries)) {
            drop_first(&streams->lanes[i]);
        }
    }
}

static void keep(struct memory_streams *streams, const struct stream_item *item,
                 struct chunk *chunk, const struct stream_call *call, uint32_t index,
                 uint64_t now_us)
{
    struct memory_lane *lane = &streams->lanes[item->lane];
    struct kept *kept = mem_alloc(sizeof(*kept) + call->node.len);
    streams->last = streams->last + 1 > now_us ? streams->last + 1 : now_us;
    kept->seq = streams->last;
    kept->ordinal = ++lane->appended;
    kept->call = call->number;
    kept->index = index;
    kept->tag = item->tag;
    kept->payload = item->payload;
    kept->chunk = chunk_ref(chunk);
    kept->node_len = (uint32_t)call->node.len;
    if (call->node.len > 0) {
        memcpy(kept->node, call->node.ptr, call->node.len);
    }
    list_push_back(&lane->entries, &kept->entry);
    lane->length++;
}

static uint64_t unstored(const struct memory_lane *lane)
{
    uint64_t missing = lane->appended > lane->stored ? lane->appended - lane->stored : 0;
    return missing < lane->length ? missing : lane->length;
}

static struct memory_lane *oldest_lane(struct memory_streams *streams)
{
    struct memory_lane *oldest = NULL;
    for (unsigned i = 0; i < streams->used; i++) {
        struct memory_lane *lane = &streams->lanes[i];
        if (!list_empty(&lane->entries) &&
            (oldest == NULL ||
             kept_of(lane->entries.next)->seq < kept_of(oldest->entries.next)->seq)) {
            oldest = lane;
        }
    }
    return oldest;
}

static uint64_t fill(const struct memory_streams *streams, bool refuse)
{
    uint64_t entries = 0;
    for (unsigned i = 0; i < streams->used; i++) {
        entries += refuse ? unstored(&streams->lanes[i]) : streams->lanes[i].length;
    }
    return entries;
}

void memory_stream_append(struct memory_streams *streams, const struct stream_call *call,
                          struct buf *answer)
{
    uint64_t now_us = clock_unix_ms() * 1000;
    bool refuse = call->limits->refuse || streams->sink_until > now_us / 1000000;
    streams->used = streams->used > call->limits->lanes ? streams->used : call->limits->lanes;
    if (streams->identity[0] == '\0') {
        stream_name_set(streams->identity, call->fresh);
    }
    uint64_t entries = fill(streams, refuse);
    bool full = false;
    struct buf outcomes = {0};
    LIST_EACH(it, call->groups) {
        const struct stream_group *group = CONTAINER_OF(it, struct stream_group, entry);
        struct chunk *items = group->items;
        struct span rest = items != NULL ? span_of(items->data, items->len) : span_of(NULL, 0);
        struct stream_item item;
        uint32_t index = group->first;
        full =
            full || (group->count > 0 && refuse && entries + group->count > call->limits->entries);
        while (!full && stream_item_next(&rest, &item)) {
            keep(streams, &item, items, call, index++, now_us);
            entries++;
        }
        buf_append(&outcomes, full ? SPAN("0") : SPAN("1"));
    }
    for (; !refuse && entries > call->limits->entries; entries--) {
        struct memory_lane *oldest = oldest_lane(streams);
        if (oldest != NULL) {
            drop_first(oldest);
        }
    }
    buf_printf(answer, "+ %s - %" PRIu64 " %" PRIu64 " 0 %s", streams->identity, streams->last,
               call->number, buf_text(&outcomes));
    buf_free(&outcomes);
}

/* What stays although it is marked: the newest, and what is young. */
static void trim(struct memory_lane *lane, const struct stream_ask *ask, uint64_t seq)
{
    uint64_t young = clock_unix_ms() * 1000 - (uint64_t)ask->keep_ms * 1000;
    while (lane->length > ask->keep && kept_of(lane->entries.next)->seq <= seq &&
           (lane->length > STREAM_KEEP_MOST || kept_of(lane->entries.next)->seq < young)) {
        drop_first(lane);
    }
}

void memory_stream_state(struct memory_streams *streams, const struct stream_marks *marks,
                         struct buf *answer)
{
    const struct stream_ask *ask = marks->ask;
    if (ask->sink) {
        streams->sink_until = clock_unix_ms() / 1000 + STREAM_SINK_SECONDS;
        streams->last = ask->seen > streams->last ? ask->seen : streams->last;
        if (streams->identity[0] == '\0') {
            stream_name_set(streams->identity, marks->fresh);
        }
    }
    for (size_t i = 0; i < ask->count; i++) {
        const struct stream_mark *mark = &ask->marks[i];
        struct memory_lane *lane = &streams->lanes[mark->lane];
        if (strcmp(mark->history.identity, streams->identity) != 0) {
            continue;
        }
        uint64_t stored = mark->ordinal < lane->appended ? mark->ordinal : lane->appended;
        lane->stored = stored > lane->stored ? stored : lane->stored;
        trim(lane, ask, mark->seq);
    }
    buf_printf(answer, "%s -  %" PRIu64 " %u %" PRIu64 " 0", streams->identity, streams->last,
               streams->used, fill(streams, false));
    for (unsigned i = 0; i < streams->used; i++) {
        buf_printf(answer, " %" PRIu64, unstored(&streams->lanes[i]));
    }
    buf_append(answer, SPAN("\n\n"));
}

/* ------------------------------------------------------------------------------------ reading */

struct memory_found {
    struct stream_entry *entries;
    size_t count, cap;
};

static void add(struct memory_found *found, unsigned lane, const struct kept *kept)
{
    if (found->count == found->cap) {
        found->cap = found->cap > 0 ? found->cap * 2 : 64;
        found->entries = mem_realloc(found->entries, found->cap * sizeof(*found->entries));
    }
    found->entries[found->count++] =
        (struct stream_entry){.lane = lane,
                              .seq = kept->seq,
                              .ordinal = kept->ordinal,
                              .tag = kept->tag,
                              .payload = kept->payload,
                              .node = span_of(kept->node, kept->node_len),
                              .call = kept->call,
                              .index = kept->index};
}

/* From the end, where readers are. */
static void read_back(const struct memory_lane *lane, unsigned number,
                      const struct stream_query *query, struct memory_found *found)
{
    struct list *it = lane->entries.prev;
    for (; it != &lane->entries && found->count < query->most; it = it->prev) {
        if (kept_of(it)->seq <= query->from->after) {
            add(found, number, kept_of(it));
        }
    }
}

static void read_forth(const struct memory_lane *lane, const struct stream_from *from, size_t most,
                       struct memory_found *found)
{
    struct list *it = lane->entries.prev; /* where readers are: at the end */
    size_t before = found->count;
    while (it != &lane->entries && kept_of(it)->seq > from->after) {
        it = it->prev;
    }
    for (it = it->next; it != &lane->entries && found->count - before < most; it = it->next) {
        add(found, from->lane, kept_of(it));
    }
}

void memory_stream_read(const struct memory_streams *streams, const struct stream_query *query,
                        stream_read_fn *fn, void *arg)
{
    struct memory_found found = {0};
    for (size_t i = 0; i < query->lanes; i++) {
        const struct stream_from *from = &query->from[i];
        const struct memory_lane *lane = &streams->lanes[from->lane];
        if (query->back) {
            read_back(lane, from->lane, query, &found);
        } else {
            read_forth(lane, from, query->most, &found);
        }
    }
    struct stream_head head = {.history.timeline = "-"};
    stream_name_set(head.history.identity, span_str(streams->identity));
    fn(arg, true, &head, found.entries, found.count);
    free(found.entries);
}
