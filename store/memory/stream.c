/* SPDX-License-Identifier: MIT */
#include "store/memory/stream.h"

#include "store/base/clock.h"

#include <inttypes.h>

struct kept {
    struct list entry;
    uint64_t seq, ordinal;
    uint32_t tag_len, payload_len;
    char bytes[];
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

static void keep(struct memory_streams *streams, const struct stream_item *item, uint64_t now_us)
{
    struct memory_lane *lane = &streams->lanes[item->lane];
    struct kept *kept = mem_alloc(sizeof(*kept) + item->tag.len + item->payload.len);
    streams->last = streams->last + 1 > now_us ? streams->last + 1 : now_us;
    kept->seq = streams->last;
    kept->ordinal = ++lane->appended;
    kept->tag_len = (uint32_t)item->tag.len;
    kept->payload_len = (uint32_t)item->payload.len;
    if (item->tag.len > 0) {
        memcpy(kept->bytes, item->tag.ptr, item->tag.len);
    }
    if (item->payload.len > 0) {
        memcpy(kept->bytes + item->tag.len, item->payload.ptr, item->payload.len);
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
    streams->birth = streams->birth > 0 ? streams->birth : now_us;
    uint64_t entries = fill(streams, refuse);
    LIST_EACH(it, call->groups) {
        const struct stream_group *group = CONTAINER_OF(it, struct stream_group, entry);
        struct span rest = buf_span(&group->items);
        struct stream_item item;
        bool full = refuse && entries + group->count > call->limits->entries;
        while (!full && stream_item_next(&rest, &item)) {
            keep(streams, &item, now_us);
            entries++;
        }
        buf_append(answer, full ? SPAN("0") : SPAN("1"));
    }
    for (; !refuse && entries > call->limits->entries; entries--) {
        struct memory_lane *oldest = oldest_lane(streams);
        if (oldest != NULL) {
            drop_first(oldest);
        }
    }
}

void memory_stream_state(struct memory_streams *streams, const struct stream_marks *marks,
                         struct buf *answer)
{
    if (marks->sink) {
        streams->sink_until = clock_unix_ms() / 1000 + STREAM_SINK_SECONDS;
    }
    for (size_t i = 0; i < marks->count; i++) {
        const struct stream_mark *mark = &marks->marks[i];
        struct memory_lane *lane = &streams->lanes[mark->lane];
        if (streams->birth == 0 || mark->seq < streams->birth) {
            continue;
        }
        lane->stored = mark->ordinal > lane->stored ? mark->ordinal : lane->stored;
        while (lane->length > marks->keep && kept_of(lane->entries.next)->seq <= mark->seq) {
            drop_first(lane);
        }
    }
    buf_printf(answer, "%" PRIu64 " %u %" PRIu64, streams->last, streams->used,
               fill(streams, false));
    for (unsigned i = 0; i < streams->used; i++) {
        buf_printf(answer, " %" PRIu64, unstored(&streams->lanes[i]));
    }
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
        (struct stream_entry){lane, kept->seq, kept->ordinal, span_of(kept->bytes, kept->tag_len),
                              span_of(kept->bytes + kept->tag_len, kept->payload_len)};
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
    fn(arg, true, found.entries, found.count);
    free(found.entries);
}
