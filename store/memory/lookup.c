/* SPDX-License-Identifier: MIT */
#include "store/memory/lookup.h"

#include "store/base/clock.h"

enum {
    MEMORY_LOOKUP_TICK_MS = 500,
    SWEEP_MOST = 64, /* entries looked at per visit */
};

struct memory_value {
    struct map_node node;
    struct list slot;
    uint64_t ends_ms;
    struct buf value;
    char key[];
};

void memory_lookups_init(struct memory_lookups *lookups)
{
    map_init(&lookups->keys);
    for (int i = 0; i < LOOKUP_SLOTS; i++) {
        list_init(&lookups->slots[i]);
    }
    lookups->tick = clock_monotonic_ms() / MEMORY_LOOKUP_TICK_MS;
}

static void entry_free(struct memory_lookups *lookups, struct memory_value *entry)
{
    list_del(&entry->slot);
    map_remove(&lookups->keys, &entry->node);
    buf_free(&entry->value);
    free(entry);
}

void memory_lookups_deinit(struct memory_lookups *lookups)
{
    MAP_EACH(it, &lookups->keys) {
        entry_free(lookups, MAP_ENTRY(it, struct memory_value, node));
    }
    map_deinit(&lookups->keys);
    buf_free(&lookups->value);
}

/* Into the slot of the tick by which it is over, or the farthest there is. A renewal does not move
 * it: the slot finds out. */
static void file(struct memory_lookups *lookups, struct memory_value *entry)
{
    uint64_t at = entry->ends_ms / MEMORY_LOOKUP_TICK_MS + 1;
    uint64_t most = lookups->tick + LOOKUP_SLOTS - 1;
    list_del(&entry->slot);
    list_push_back(&lookups->slots[(at < most ? at : most) % LOOKUP_SLOTS], &entry->slot);
}

static void sweep(struct memory_lookups *lookups, uint64_t now_ms)
{
    int left = SWEEP_MOST;
    while (lookups->tick < now_ms / MEMORY_LOOKUP_TICK_MS && left > 0) {
        struct list *slot = &lookups->slots[lookups->tick % LOOKUP_SLOTS];
        for (; left > 0 && !list_empty(slot); left--) {
            struct memory_value *entry = LIST_ITEM(slot->next, struct memory_value, slot);
            if (entry->ends_ms <= now_ms) {
                entry_free(lookups, entry);
            } else {
                file(lookups, entry);
            }
        }
        if (list_empty(slot)) {
            lookups->tick++;
            left--;
        }
    }
}

/* The entry of that key whose time is not over, or NULL. */
static struct memory_value *find(struct memory_lookups *lookups, struct span key, uint64_t now_ms)
{
    struct map_node *node = map_find(&lookups->keys, key);
    struct memory_value *entry = node != NULL ? MAP_ENTRY(node, struct memory_value, node) : NULL;
    if (entry != NULL && entry->ends_ms <= now_ms) {
        entry_free(lookups, entry);
        return NULL;
    }
    return entry;
}

/* Puts the visit's value into `entry`, NULL: a new one. */
static void set(struct memory_lookups *lookups, struct memory_value *entry,
                const struct lookup_visit *visit, uint64_t now_ms)
{
    bool fresh = entry == NULL;
    if (fresh) {
        entry = mem_zalloc(sizeof(*entry) + visit->key.len);
        list_init(&entry->slot);
        memcpy(entry->key, visit->key.ptr, visit->key.len);
        map_insert(&lookups->keys, &entry->node, span_of(entry->key, visit->key.len));
    }
    entry->value.len = 0;
    buf_append(&entry->value, visit->value);
    bool sooner = now_ms + visit->life_ms < entry->ends_ms;
    if (visit->life_ms > 0) {
        entry->ends_ms = now_ms + visit->life_ms;
    }
    if (fresh || (sooner && visit->life_ms > 0)) {
        file(lookups, entry);
    }
}

static void answer(struct memory_lookups *lookups, const struct memory_value *entry)
{
    buf_append(&lookups->value, buf_span(&entry->value));
}

static enum lookup_result swap(struct memory_lookups *lookups, struct memory_value *entry,
                               const struct lookup_visit *visit, uint64_t now_ms)
{
    if (entry == NULL) {
        return LOOKUP_ABSENT;
    }
    if (!span_eq(buf_span(&entry->value), visit->old)) {
        answer(lookups, entry);
        return LOOKUP_TAKEN;
    }
    set(lookups, entry, visit, now_ms);
    return LOOKUP_DONE;
}

static enum lookup_result read_it(struct memory_lookups *lookups, struct memory_value *entry,
                                  const struct lookup_visit *visit, uint64_t now_ms)
{
    if (entry == NULL) {
        return LOOKUP_ABSENT;
    }
    answer(lookups, entry);
    if (visit->verb == LOOKUP_TOUCH) {
        bool sooner = now_ms + visit->life_ms < entry->ends_ms;
        entry->ends_ms = now_ms + visit->life_ms;
        if (sooner) {
            file(lookups, entry);
        }
    }
    return LOOKUP_DONE;
}

static enum lookup_result carry_out(struct memory_lookups *lookups, struct memory_value *entry,
                                    const struct lookup_visit *visit, uint64_t now_ms)
{
    switch (visit->verb) {
    case LOOKUP_GET:
    case LOOKUP_TOUCH:
        return read_it(lookups, entry, visit, now_ms);
    case LOOKUP_SWAP:
        return swap(lookups, entry, visit, now_ms);
    case LOOKUP_ADD:
        if (entry != NULL) {
            return LOOKUP_TAKEN;
        }
        set(lookups, NULL, visit, now_ms);
        return LOOKUP_DONE;
    case LOOKUP_PUT:
        if (entry != NULL) {
            answer(lookups, entry);
        }
        set(lookups, entry, visit, now_ms);
        return LOOKUP_DONE;
    case LOOKUP_DELETE:
        if (entry == NULL) {
            return LOOKUP_ABSENT;
        }
        entry_free(lookups, entry);
        return LOOKUP_DONE;
    }
    return LOOKUP_LOST;
}

enum lookup_result memory_lookup_visit(struct memory_lookups *lookups,
                                       const struct lookup_visit *visit, struct span *value)
{
    uint64_t now_ms = clock_monotonic_ms();
    lookups->value.len = 0;
    sweep(lookups, now_ms);
    enum lookup_result result =
        carry_out(lookups, find(lookups, visit->key, now_ms), visit, now_ms);
    *value = buf_span(&lookups->value);
    return result;
}
