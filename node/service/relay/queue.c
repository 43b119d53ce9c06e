/* SPDX-License-Identifier: MIT */
#include "node/service/relay/queue.h"

#include "store/base/mem.h"

#include <stdlib.h>

struct item {
    struct list entry;
    struct chunk *chunk;
    uint64_t queued_us;
    enum relay_paced_kind kind;
};

/* A topic of which something waits: [END] [BEGIN] and TALK anywhere. */
struct relay_topic {
    struct map_node node; /* by the bytes of `id` */
    struct list turn;
    struct list items;
    uint64_t id;
    size_t bytes; /* of talk */
};

static struct item *first_item(const struct relay_topic *topic)
{
    return LIST_ITEM(topic->items.next, struct item, entry);
}

static struct relay_topic *find_topic(const struct relay_queue *queue, uint64_t id)
{
    struct map_node *node = map_find(&queue->topics, span_of(&id, sizeof(id)));
    return node != NULL ? MAP_ENTRY(node, struct relay_topic, node) : NULL;
}

static struct relay_topic *topic_of(struct relay_queue *queue, uint64_t id)
{
    struct relay_topic *had = find_topic(queue, id);
    if (had != NULL) {
        return had;
    }
    struct relay_topic *topic = mem_zalloc(sizeof(*topic));
    topic->id = id;
    list_init(&topic->items);
    list_push_back(&queue->turns, &topic->turn);
    map_insert(&queue->topics, &topic->node, span_of(&topic->id, sizeof(topic->id)));
    return topic;
}

static void free_if_empty(struct relay_queue *queue, struct relay_topic *topic)
{
    if (list_empty(&topic->items)) {
        list_del(&topic->turn);
        map_remove(&queue->topics, &topic->node);
        free(topic);
    }
}

static size_t bytes_of(const struct item *item)
{
    return item->kind == PACED_TALK ? item->chunk->len + sizeof(*item) : 0;
}

static void item_free(struct relay_queue *queue, struct relay_topic *topic, struct item *item)
{
    topic->bytes -= bytes_of(item);
    queue->bytes -= bytes_of(item);
    queue->count--;
    list_del(&item->entry);
    chunk_unref(item->chunk);
    free(item);
}

static void drop_item(struct relay_queue *queue, struct relay_topic *topic, struct item *item)
{
    metrics_add(queue->metrics, METRIC_PACED_DROPPED, 1);
    item_free(queue, topic, item);
}

/* What waited too long, the oldest first. */
static void drop_old(struct relay_queue *queue, struct relay_topic *topic, uint64_t now)
{
    while (!list_empty(&topic->items) && first_item(topic)->kind == PACED_TALK &&
           now - first_item(topic)->queued_us > PACED_AGE_MS * 1000ULL) {
        drop_item(queue, topic, first_item(topic));
    }
}

static struct relay_topic *largest_topic(struct relay_queue *queue)
{
    struct relay_topic *most = LIST_ITEM(queue->turns.next, struct relay_topic, turn);
    LIST_EACH(it, &queue->turns) {
        struct relay_topic *topic = LIST_ITEM(it, struct relay_topic, turn);
        most = topic->bytes > most->bytes ? topic : most;
    }
    return most;
}

static void drop_oldest_talk(struct relay_queue *queue, struct relay_topic *topic)
{
    LIST_EACH(it, &topic->items) {
        struct item *item = LIST_ITEM(it, struct item, entry);
        if (item->kind == PACED_TALK) {
            drop_item(queue, topic, item);
            break;
        }
    }
    free_if_empty(queue, topic);
}

/* The topic ends: where its beginning still waits, that and all that follows goes. True when there
 * is nothing left to tell of it. */
static bool fold(struct relay_queue *queue, struct relay_topic *topic)
{
    bool found = false;
    LIST_EACH(it, &topic->items) {
        struct item *item = LIST_ITEM(it, struct item, entry);
        found = found || item->kind == PACED_BEGIN;
        if (found) {
            item_free(queue, topic, item);
        }
    }
    return found;
}

static void put_in_topic(struct relay_queue *queue, struct relay_topic *topic, struct chunk *chunk,
                         enum relay_paced_kind kind, uint64_t queued_us)
{
    struct item *item = mem_zalloc(sizeof(*item));
    *item = (struct item){.chunk = chunk_ref(chunk), .queued_us = queued_us, .kind = kind};
    list_push_back(&topic->items, &item->entry);
    topic->bytes += bytes_of(item);
    queue->bytes += bytes_of(item);
    queue->count++;
}

/* More is to be told of a topic of which something waits in the line: from now on it waits there no more. */
static void leave_line(struct relay_queue *queue, uint64_t id)
{
    struct relay_notice *notice;
    while ((notice = relay_notices_take(&queue->notices, id)) != NULL) {
        queue->count--;
        put_in_topic(queue, topic_of(queue, id), notice->chunk, notice->mark.kind,
                     notice->queued_us);
        relay_notice_unref(notice);
    }
}

void relay_queue_put(struct relay_queue *queue, struct chunk *chunk, struct relay_paced_mark mark,
                     uint64_t now_us)
{
    leave_line(queue, mark.topic);
    struct relay_topic *topic = topic_of(queue, mark.topic);
    drop_old(queue, topic, now_us);
    if (mark.kind == PACED_END && fold(queue, topic)) {
        free_if_empty(queue, topic);
        return;
    }
    put_in_topic(queue, topic, chunk, mark.kind, now_us);
    while (queue->bytes > queue->limit) {
        drop_oldest_talk(queue, largest_topic(queue));
    }
}

void relay_queue_clear(struct relay_queue *queue)
{
    MAP_EACH(it, &queue->topics) {
        struct relay_topic *topic = MAP_ENTRY(it, struct relay_topic, node);
        LIST_EACH(at, &topic->items) {
            item_free(queue, topic, LIST_ITEM(at, struct item, entry));
        }
        free_if_empty(queue, topic);
    }
    queue->count -= relay_notices_count(&queue->notices);
    relay_notices_clear(&queue->notices);
}

/* What waited longer, and between two of the line one that is not of it. */
static bool line_is_next(const struct relay_queue *queue)
{
    const struct relay_notice *notice = relay_notices_first(&queue->notices);
    if (notice == NULL || list_empty(&queue->turns)) {
        return notice != NULL;
    }
    const struct relay_topic *topic = LIST_ITEM(queue->turns.next, struct relay_topic, turn);
    return !queue->began && notice->queued_us <= first_item(topic)->queued_us;
}

static struct chunk *take_notice(struct relay_queue *queue)
{
    struct chunk *chunk = chunk_ref(relay_notices_first(&queue->notices)->chunk);
    relay_notices_shift(&queue->notices);
    queue->count--;
    queue->began = true;
    return chunk;
}

struct chunk *relay_queue_take(struct relay_queue *queue, uint64_t now_us)
{
    if (line_is_next(queue)) {
        return take_notice(queue);
    }
    queue->began = false;
    while (!list_empty(&queue->turns)) {
        struct relay_topic *topic = LIST_ITEM(queue->turns.next, struct relay_topic, turn);
        drop_old(queue, topic, now_us);
        list_del(&topic->turn);
        list_push_back(&queue->turns, &topic->turn);
        if (!list_empty(&topic->items)) {
            struct chunk *chunk = chunk_ref(first_item(topic)->chunk);
            item_free(queue, topic, first_item(topic));
            free_if_empty(queue, topic);
            return chunk;
        }
        free_if_empty(queue, topic);
    }
    return relay_notices_count(&queue->notices) > 0 ? take_notice(queue) : NULL;
}

bool relay_queue_put_notice(struct relay_queue *queue, struct relay_notice *notice)
{
    uint64_t topic = notice->mark.topic;
    bool ends = notice->mark.kind == PACED_END; /* what it ends may not be told at all */
    if (find_topic(queue, topic) != NULL || (ends && relay_notices_has(&queue->notices, topic))) {
        return false;
    }
    relay_notices_push(&queue->notices, notice);
    queue->count++;
    return true;
}

uint64_t relay_queue_oldest_us(struct relay_queue *queue)
{
    const struct relay_notice *notice = relay_notices_first(&queue->notices);
    uint64_t oldest = notice != NULL ? notice->queued_us : UINT64_MAX;
    LIST_EACH(it, &queue->turns) {
        const struct relay_topic *topic = LIST_ITEM(it, struct relay_topic, turn);
        uint64_t since_us = first_item(topic)->queued_us;
        oldest = since_us < oldest ? since_us : oldest;
    }
    return oldest;
}

void relay_queue_init(struct relay_queue *queue, struct metrics *metrics, size_t limit)
{
    *queue = (struct relay_queue){.metrics = metrics, .limit = limit};
    list_init(&queue->turns);
    map_init(&queue->topics);
}

void relay_queue_deinit(struct relay_queue *queue)
{
    relay_queue_clear(queue);
    map_deinit(&queue->topics);
}
