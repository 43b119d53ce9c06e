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

/* What waits of one topic: [END] [BEGIN] and TALK anywhere. */
struct lane {
    struct map_node node; /* by the bytes of topic */
    struct list turn;
    struct list items;
    uint64_t topic;
    size_t bytes; /* of talk */
};

static struct item *first_item(const struct lane *lane)
{
    return LIST_ITEM(lane->items.next, struct item, entry);
}

static struct lane *find_lane(const struct relay_queue *queue, uint64_t topic)
{
    struct map_node *node = map_find(&queue->lanes, span_of(&topic, sizeof(topic)));
    return node != NULL ? MAP_ENTRY(node, struct lane, node) : NULL;
}

static struct lane *lane_of(struct relay_queue *queue, uint64_t topic)
{
    struct lane *had = find_lane(queue, topic);
    if (had != NULL) {
        return had;
    }
    struct lane *lane = mem_zalloc(sizeof(*lane));
    lane->topic = topic;
    list_init(&lane->items);
    list_push_back(&queue->turns, &lane->turn);
    map_insert(&queue->lanes, &lane->node, span_of(&lane->topic, sizeof(lane->topic)));
    return lane;
}

static void free_if_empty(struct relay_queue *queue, struct lane *lane)
{
    if (list_empty(&lane->items)) {
        list_del(&lane->turn);
        map_remove(&queue->lanes, &lane->node);
        free(lane);
    }
}

static size_t bytes_of(const struct item *item)
{
    return item->kind == PACED_TALK ? item->chunk->len + sizeof(*item) : 0;
}

static void item_free(struct relay_queue *queue, struct lane *lane, struct item *item)
{
    lane->bytes -= bytes_of(item);
    queue->bytes -= bytes_of(item);
    queue->count--;
    list_del(&item->entry);
    chunk_unref(item->chunk);
    free(item);
}

static void drop_item(struct relay_queue *queue, struct lane *lane, struct item *item)
{
    metrics_add(queue->metrics, METRIC_PACED_DROPPED, 1);
    item_free(queue, lane, item);
}

/* What waited too long at the front of the lane. */
static void drop_old(struct relay_queue *queue, struct lane *lane, uint64_t now)
{
    while (!list_empty(&lane->items) && first_item(lane)->kind == PACED_TALK &&
           now - first_item(lane)->queued_us > PACED_AGE_MS * 1000ULL) {
        drop_item(queue, lane, first_item(lane));
    }
}

static struct lane *largest_lane(struct relay_queue *queue)
{
    struct lane *most = LIST_ITEM(queue->turns.next, struct lane, turn);
    LIST_EACH(it, &queue->turns) {
        struct lane *lane = LIST_ITEM(it, struct lane, turn);
        most = lane->bytes > most->bytes ? lane : most;
    }
    return most;
}

static void drop_oldest_talk(struct relay_queue *queue, struct lane *lane)
{
    LIST_EACH(it, &lane->items) {
        struct item *item = LIST_ITEM(it, struct item, entry);
        if (item->kind == PACED_TALK) {
            drop_item(queue, lane, item);
            break;
        }
    }
    free_if_empty(queue, lane);
}

/* The topic ends: where its beginning still waits, that and all that follows goes. True when there
 * is nothing left to tell of it. */
static bool fold(struct relay_queue *queue, struct lane *lane)
{
    bool found = false;
    LIST_EACH(it, &lane->items) {
        struct item *item = LIST_ITEM(it, struct item, entry);
        found = found || item->kind == PACED_BEGIN;
        if (found) {
            item_free(queue, lane, item);
        }
    }
    return found;
}

static void put_in_lane(struct relay_queue *queue, struct lane *lane, struct chunk *chunk,
                        enum relay_paced_kind kind, uint64_t queued_us)
{
    struct item *item = mem_zalloc(sizeof(*item));
    *item = (struct item){.chunk = chunk_ref(chunk), .queued_us = queued_us, .kind = kind};
    list_push_back(&lane->items, &item->entry);
    lane->bytes += bytes_of(item);
    queue->bytes += bytes_of(item);
    queue->count++;
}

/* More is to be told of a topic whose beginning waits in the line: from now on it has a lane. */
static void leave_line(struct relay_queue *queue, uint64_t topic)
{
    struct relay_begin *begin;
    while ((begin = relay_begins_take(&queue->begins, topic)) != NULL) {
        queue->count--;
        put_in_lane(queue, lane_of(queue, topic), begin->chunk, PACED_BEGIN, begin->queued_us);
        relay_begin_unref(begin);
    }
}

void relay_queue_put(struct relay_queue *queue, struct chunk *chunk, struct relay_paced_mark mark,
                     uint64_t now_us)
{
    leave_line(queue, mark.topic);
    struct lane *lane = lane_of(queue, mark.topic);
    drop_old(queue, lane, now_us);
    if (mark.kind == PACED_END && fold(queue, lane)) {
        free_if_empty(queue, lane);
        return;
    }
    put_in_lane(queue, lane, chunk, mark.kind, now_us);
    while (queue->bytes > queue->limit) {
        drop_oldest_talk(queue, largest_lane(queue));
    }
}

void relay_queue_clear(struct relay_queue *queue)
{
    MAP_EACH(it, &queue->lanes) {
        struct lane *lane = MAP_ENTRY(it, struct lane, node);
        LIST_EACH(at, &lane->items) {
            item_free(queue, lane, LIST_ITEM(at, struct item, entry));
        }
        free_if_empty(queue, lane);
    }
    queue->count -= relay_begins_count(&queue->begins);
    relay_begins_clear(&queue->begins);
}

/* What waited longer, and between two of the line one of a lane. */
static bool line_is_next(const struct relay_queue *queue)
{
    const struct relay_begin *begin = relay_begins_first(&queue->begins);
    if (begin == NULL || list_empty(&queue->turns)) {
        return begin != NULL;
    }
    const struct lane *lane = LIST_ITEM(queue->turns.next, struct lane, turn);
    return !queue->began && begin->queued_us <= first_item(lane)->queued_us;
}

static struct chunk *take_begin(struct relay_queue *queue)
{
    struct chunk *chunk = chunk_ref(relay_begins_first(&queue->begins)->chunk);
    relay_begins_shift(&queue->begins);
    queue->count--;
    queue->began = true;
    return chunk;
}

struct chunk *relay_queue_take(struct relay_queue *queue, uint64_t now_us)
{
    if (line_is_next(queue)) {
        return take_begin(queue);
    }
    queue->began = false;
    while (!list_empty(&queue->turns)) {
        struct lane *lane = LIST_ITEM(queue->turns.next, struct lane, turn);
        drop_old(queue, lane, now_us);
        list_del(&lane->turn);
        list_push_back(&queue->turns, &lane->turn);
        if (!list_empty(&lane->items)) {
            struct chunk *chunk = chunk_ref(first_item(lane)->chunk);
            item_free(queue, lane, first_item(lane));
            free_if_empty(queue, lane);
            return chunk;
        }
        free_if_empty(queue, lane);
    }
    return relay_begins_count(&queue->begins) > 0 ? take_begin(queue) : NULL;
}

bool relay_queue_put_begin(struct relay_queue *queue, struct relay_begin *begin)
{
    if (find_lane(queue, begin->topic) != NULL) {
        return false;
    }
    relay_begins_push(&queue->begins, begin);
    queue->count++;
    return true;
}

uint64_t relay_queue_oldest_us(struct relay_queue *queue)
{
    const struct relay_begin *begin = relay_begins_first(&queue->begins);
    uint64_t oldest = begin != NULL ? begin->queued_us : UINT64_MAX;
    LIST_EACH(it, &queue->turns) {
        const struct lane *lane = LIST_ITEM(it, struct lane, turn);
        uint64_t since_us = first_item(lane)->queued_us;
        oldest = since_us < oldest ? since_us : oldest;
    }
    return oldest;
}

void relay_queue_init(struct relay_queue *queue, struct metrics *metrics, size_t limit)
{
    *queue = (struct relay_queue){.metrics = metrics, .limit = limit};
    list_init(&queue->turns);
    map_init(&queue->lanes);
}

void relay_queue_deinit(struct relay_queue *queue)
{
    relay_queue_clear(queue);
    map_deinit(&queue->lanes);
}
