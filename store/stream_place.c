/* SPDX-License-Identifier: MIT */
#include "store/stream_place.h"

#include "store/base/decimal.h"
#include "store/base/mem.h"

enum { PLACE_WRITERS_MOST = 4096 };

struct writer {
    struct map_node node;
    uint64_t call, seq; /* seq: of its last entry here */
    uint32_t index;
    char name[];
};

void stream_place_init(struct stream_place *place)
{
    *place = (struct stream_place){0};
    map_init(&place->writers);
}

void stream_place_reset(struct stream_place *place)
{
    MAP_EACH(it, &place->writers) {
        struct writer *writer = MAP_ENTRY(it, struct writer, node);
        map_remove(&place->writers, it);
        free(writer);
    }
    place->history = (struct stream_history){0};
    place->seq = place->ordinal = 0;
    place->whole = false;
}

void stream_place_deinit(struct stream_place *place)
{
    stream_place_reset(place);
    map_deinit(&place->writers);
}

bool stream_place_is_in(const struct stream_place *place, const struct stream_head *head)
{
    return strcmp(place->history.identity, head->history.identity) == 0 &&
           strcmp(place->history.timeline, head->history.timeline) == 0;
}

/* Where the successor of `timeline` began; 0 when it is not among the forks. */
static uint64_t shared(struct span forks, const char *timeline)
{
    bool found = strcmp(timeline, "-") == 0; /* before the first one that was named */
    while (forks.len > 0) {
        struct span one = span_cut(&forks, ';'), name = span_cut(&one, ' ');
        uint64_t seq;
        if (!decimal_read(one, UINT64_MAX, &seq)) {
            return 0;
        }
        if (found) {
            return seq;
        }
        found = span_eq(name, span_str(timeline));
    }
    return 0;
}

bool stream_place_is_elsewhere(const struct stream_place *place, const struct stream_head *head)
{
    return place->history.identity[0] != '\0' &&
           strcmp(place->history.identity, head->history.identity) != 0;
}

void stream_place_follow(struct stream_place *place, const struct stream_head *head)
{
    bool none = place->history.identity[0] == '\0';
    if (stream_place_is_elsewhere(place, head)) {
        place->seq = place->ordinal = 0;
        place->whole = true;
    } else if (!none && strcmp(place->history.timeline, head->history.timeline) != 0) {
        uint64_t until = shared(head->forks, place->history.timeline);
        place->seq = until < place->seq ? until : place->seq;
    }
    place->history = head->history;
}

/* The one that has been silent for the longest makes room. */
static void forget_stalest(struct map *writers)
{
    struct writer *stalest = NULL;
    MAP_EACH(it, writers) {
        struct writer *writer = MAP_ENTRY(it, struct writer, node);
        if (stalest == NULL || writer->seq < stalest->seq) {
            stalest = writer;
        }
    }
    map_remove(writers, &stalest->node);
    free(stalest);
}

static struct writer *writer_get(struct map *writers, struct span name)
{
    struct map_node *node = map_find(writers, name);
    if (node != NULL) {
        return MAP_ENTRY(node, struct writer, node);
    }
    if (writers->count >= PLACE_WRITERS_MOST) {
        forget_stalest(writers);
    }
    struct writer *writer = mem_zalloc(sizeof(*writer) + name.len);
    memcpy(writer->name, name.ptr, name.len);
    map_insert(writers, &writer->node, span_of(writer->name, name.len));
    return writer;
}

void stream_place_learn(struct stream_place *place, struct span node, uint64_t call, uint32_t index)
{
    struct writer *writer = writer_get(&place->writers, node);
    writer->call = call;
    writer->index = index;
    writer->seq = place->seq;
}

bool stream_place_take(struct stream_place *place, const struct stream_entry *entry,
                       uint64_t *missing)
{
    bool known = place->ordinal > 0 || place->whole;
    bool hole = known && entry->ordinal > place->ordinal + 1;
    *missing = hole ? entry->ordinal - place->ordinal - 1 : 0;
    place->seq = entry->seq;
    place->ordinal = entry->ordinal;
    if (entry->node.len == 0) {
        return true;
    }
    struct writer *writer = writer_get(&place->writers, entry->node);
    writer->seq = entry->seq;
    if (entry->call < writer->call ||
        (entry->call == writer->call && entry->index <= writer->index)) {
        return false;
    }
    writer->call = entry->call;
    writer->index = entry->index;
    return true;
}
