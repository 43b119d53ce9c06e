/* SPDX-License-Identifier: MIT */
#include "store/memory/history.h"

#include "store/base/clock.h"
#include "store/base/list.h"
#include "store/history/note.h"

struct hub_entry {
    struct list entry;
    uint64_t id, sequence;
    struct span writer, value; /* both in `bytes` */
    char bytes[];
};

struct hub_writer {
    struct map_node node;
    uint64_t taken; /* the last sequence number taken from it */
    char name[];
};

struct hub_history {
    struct map_node node;
    struct list entries; /* the oldest first */
    struct map writers;
    uint64_t birth, first, last;
    char name[];
};

void memory_histories_init(struct memory_histories *histories)
{
    map_init(&histories->keys);
}

/* gcc -fanalyzer does not see that list_del leaves another entry as the first. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-double-free"
#endif

static void drop_first(struct hub_history *history)
{
    struct hub_entry *entry = LIST_ITEM(history->entries.next, struct hub_entry, entry);
    list_del(&entry->entry);
    free(entry);
    history->first++;
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

static void history_free(struct memory_histories *histories, struct hub_history *history)
{
    while (!list_empty(&history->entries)) {
        drop_first(history);
    }
    MAP_EACH(it, &history->writers) {
        struct hub_writer *writer = MAP_ENTRY(it, struct hub_writer, node);
        map_remove(&history->writers, it);
        free(writer);
    }
    map_deinit(&history->writers);
    map_remove(&histories->keys, &history->node);
    free(history);
}

void memory_histories_deinit(struct memory_histories *histories)
{
    MAP_EACH(it, &histories->keys) {
        history_free(histories, MAP_ENTRY(it, struct hub_history, node));
    }
    map_deinit(&histories->keys);
}

static struct hub_history *find(const struct memory_histories *histories, struct span key)
{
    struct map_node *node = map_find(&histories->keys, key);
    return node != NULL ? MAP_ENTRY(node, struct hub_history, node) : NULL;
}

static struct hub_history *history_new(struct memory_histories *histories, struct span key)
{
    struct hub_history *history = mem_zalloc(sizeof(*history) + key.len);
    memcpy(history->name, key.ptr, key.len);
    list_init(&history->entries);
    map_init(&history->writers);
    history->birth = history->first = clock_unix_ms() * 1000;
    history->last = history->birth - 1;
    map_insert(&histories->keys, &history->node, span_of(history->name, key.len));
    return history;
}

static struct hub_writer *writer_get(struct hub_history *history, struct span name)
{
    struct map_node *node = map_find(&history->writers, name);
    if (node != NULL) {
        return MAP_ENTRY(node, struct hub_writer, node);
    }
    struct hub_writer *writer = mem_zalloc(sizeof(*writer) + name.len);
    memcpy(writer->name, name.ptr, name.len);
    map_insert(&history->writers, &writer->node, span_of(writer->name, name.len));
    return writer;
}

static void put_entry(struct buf *out, const struct hub_entry *entry)
{
    history_note_record(out, &(struct history_record){.id = entry->id,
                                                      .sequence = entry->sequence,
                                                      .writer = entry->writer,
                                                      .value = entry->value});
}

static void add(struct hub_history *history, struct span writer, const struct history_item *item,
                struct buf *records)
{
    struct hub_entry *entry = mem_zalloc(sizeof(*entry) + writer.len + item->value.len);
    entry->id = ++history->last;
    entry->sequence = item->sequence;
    entry->writer = span_of(entry->bytes, writer.len);
    entry->value = span_of(entry->bytes + writer.len, item->value.len);
    memcpy(entry->bytes, writer.ptr, writer.len);
    if (item->value.len > 0) {
        memcpy(entry->bytes + writer.len, item->value.ptr, item->value.len);
    }
    list_push_back(&history->entries, &entry->entry);
    put_entry(records, entry);
}

static struct hub_history *append(struct memory_histories *histories,
                                  const struct history_call *call, struct buf *news)
{
    struct hub_history *history = find(histories, call->key);
    if (history == NULL) {
        history = history_new(histories, call->key);
    }
    struct hub_writer *writer = writer_get(history, call->writer);
    struct buf records = {0};
    size_t count = 0;
    for (size_t i = 0; i < call->count; i++) {
        if (call->items[i].sequence > writer->taken) {
            writer->taken = call->items[i].sequence;
            add(history, call->writer, &call->items[i], &records);
            count++;
        }
    }
    while (history->last - history->first + 1 > call->most) {
        drop_first(history);
    }
    if (count > 0) {
        history_note_head(news,
                          &(struct history_note){.birth = history->birth,
                                                 .timeline = SPAN("-"),
                                                 .after = history->last - count,
                                                 .last = history->last},
                          count, 0);
        buf_append(news, buf_span(&records));
    }
    buf_free(&records);
    return history;
}

static size_t list_after(struct hub_history *history, const struct history_call *call,
                         struct buf *records)
{
    size_t count = 0;
    uint64_t after = call->birth == history->birth ? call->after : 0;
    LIST_EACH(it, &history->entries) {
        const struct hub_entry *entry = LIST_ITEM(it, struct hub_entry, entry);
        if (entry->id > after && count < call->limit) {
            put_entry(records, entry);
            count++;
        }
    }
    return count;
}

static size_t list_writers(struct hub_history *history, struct buf *records)
{
    MAP_EACH(it, &history->writers) {
        history_note_put_writer(records, map_key(it),
                                MAP_ENTRY(it, struct hub_writer, node)->taken);
    }
    return history->writers.count;
}

static size_t list_newest(struct hub_history *history, const struct history_call *call,
                          struct buf *records)
{
    size_t count = 0, seen = 0;
    for (struct list *it = history->entries.prev; it != &history->entries; it = it->prev) {
        if (seen++ >= call->offset && count < call->limit) {
            put_entry(records, LIST_ITEM(it, struct hub_entry, entry));
            count++;
        }
    }
    return count;
}

void memory_history_call(struct memory_histories *histories, const struct history_call *call,
                         struct buf *answer, struct buf *news)
{
    struct hub_history *history = find(histories, call->key);
    struct buf records = {0};
    size_t count = 0, writers = 0;
    if (call->verb == HISTORY_APPEND) {
        history = append(histories, call, news);
    } else if (history != NULL && call->verb == HISTORY_AFTER && call->limit == 0) {
        writers = list_writers(history, &records);
    } else if (history != NULL && call->verb == HISTORY_AFTER) {
        count = list_after(history, call, &records);
    } else if (history != NULL) {
        count = list_newest(history, call, &records);
    }
    struct history_note note = {.timeline = SPAN("-"), .after = call->after};
    if (history != NULL) {
        note.birth = history->birth;
        note.last = history->last;
        note.after = call->birth == history->birth ? call->after : history->birth - 1;
    }
    history_note_head(answer, &note, count, writers);
    buf_append(answer, buf_span(&records));
    buf_free(&records);
}
