/* SPDX-License-Identifier: MIT */
#include "node/service/chat/recent.h"

#include "store/base/entropy.h"
#include "store/base/map.h"
#include "store/base/mem.h"

#include <stdlib.h>
#include <string.h>

struct recent_entry {
    uint64_t id;
    struct buf value;
};

/* An append of this node that is not settled: stored and heard. */
struct own {
    struct list entry;
    uint64_t hash;
    bool stored, heard;
};

struct chat_recent {
    struct store *store;
    struct span key;
    uint32_t most;
    size_t answer_limit;
    struct recent_entry *ring; /* the oldest at `first` */
    uint32_t first, count;
    bool current;     /* all that was appended so far was heard */
    bool filled;      /* what was there before was read */
    uint64_t reading; /* the number of the read under way; 0: none */
    uint64_t reads;
    uint64_t hash_key[2];
    struct list own;
    struct buf text; /* the last answer, for */
    uint32_t offset, limit;
    struct shared_message answer;
    bool answered;
};

/* The i-th, from the oldest. */
static struct recent_entry *at(const struct chat_recent *recent, uint32_t i)
{
    return &recent->ring[(recent->first + i) % recent->most];
}

static void forget_answer(struct chat_recent *recent)
{
    if (recent->answered) {
        shared_message_deinit(&recent->answer);
        recent->answered = false;
    }
}

static void clear(struct chat_recent *recent)
{
    for (uint32_t i = 0; i < recent->count; i++) {
        buf_free(&at(recent, i)->value);
    }
    recent->first = recent->count = 0;
    recent->filled = false;
    forget_answer(recent);
}

static void put_newest(struct chat_recent *recent, const struct history_entry *entry)
{
    if (recent->count == recent->most) {
        buf_free(&at(recent, 0)->value);
        recent->first = (recent->first + 1) % recent->most;
        recent->count--;
    }
    struct recent_entry *kept = at(recent, recent->count++);
    *kept = (struct recent_entry){.id = entry->id};
    buf_append(&kept->value, entry->value);
    forget_answer(recent);
}

static void put_oldest(struct chat_recent *recent, const struct history_entry *entry)
{
    if (recent->count < recent->most) {
        recent->first = (recent->first + recent->most - 1) % recent->most;
        recent->count++;
        struct recent_entry *kept = at(recent, 0);
        *kept = (struct recent_entry){.id = entry->id};
        buf_append(&kept->value, entry->value);
    }
}

/* What was there before the first that was heard. */
static void on_read(void *arg, uint64_t number, bool ok, struct span entries)
{
    struct chat_recent *recent = arg;
    struct history_entry entry;
    if (number != recent->reading) {
        return; /* of before a loss */
    }
    recent->reading = 0;
    if (!ok) {
        return;
    }
    uint64_t heard = recent->count > 0 ? at(recent, 0)->id : UINT64_MAX;
    while (history_next(&entries, &entry)) {
        if (entry.id < heard) {
            put_oldest(recent, &entry);
        }
    }
    recent->filled = true;
    forget_answer(recent);
}

static void fill(struct chat_recent *recent)
{
    if (!recent->filled && recent->reading == 0 && recent->current) {
        uint64_t number = ++recent->reads;
        bool asked =
            history_read(recent->store, recent->key, 0, recent->most, on_read, recent, number) == 0;
        recent->reading = asked ? number : 0;
    }
}

/* -------------------------------------------------------------------------------- its own */

static void settle(struct own *own)
{
    if (own->stored && own->heard) {
        list_del(&own->entry);
        free(own);
    }
}

void chat_recent_sent(struct chat_recent *recent, struct span value)
{
    struct own *own = mem_zalloc(sizeof(*own));
    own->hash = map_siphash(recent->hash_key, value);
    list_push_back(&recent->own, &own->entry);
}

void chat_recent_stored(struct chat_recent *recent, bool done)
{
    LIST_EACH(it, &recent->own) {
        struct own *own = LIST_ITEM(it, struct own, entry);
        if (!own->stored) {
            own->stored = true;
            own->heard |= !done; /* nothing is waited for */
            settle(own);
            return;
        }
    }
}

static void hear_own(struct chat_recent *recent, struct span value)
{
    uint64_t hash = list_empty(&recent->own) ? 0 : map_siphash(recent->hash_key, value);
    LIST_EACH(it, &recent->own) {
        struct own *own = LIST_ITEM(it, struct own, entry);
        if (!own->heard && own->hash == hash) {
            own->heard = true;
            settle(own);
            return;
        }
    }
}

/* Something that was stored was not heard: it is not in the ring. */
static bool misses_own(const struct chat_recent *recent)
{
    for (struct list *it = recent->own.next; it != &recent->own; it = it->next) {
        const struct own *own = LIST_ITEM(it, struct own, entry);
        if (own->stored && !own->heard) {
            return true;
        }
    }
    return false;
}

/* ----------------------------------------------------------------------------------- calls */

void chat_recent_heard(struct chat_recent *recent, enum history_event event,
                       const struct history_entry *entry)
{
    switch (event) {
    case HISTORY_ENTRY:
        put_newest(recent, entry);
        hear_own(recent, entry->value);
        break;
    case HISTORY_LOST:
        clear(recent);
        recent->reading = 0;
        LIST_EACH(it, &recent->own) {
            struct own *own = LIST_ITEM(it, struct own, entry);
            own->heard = true; /* it may be among the lost */
            settle(own);
        }
        break;
    case HISTORY_CURRENT:
        recent->current = true;
        break;
    case HISTORY_STALE:
        recent->current = false;
        break;
    }
    fill(recent);
}

static void put_answer(struct chat_recent *recent, uint32_t offset, uint32_t limit)
{
    struct buf *out = &recent->text;
    out->len = 0;
    buf_append(out, SPAN("{\"history\": ["));
    for (uint32_t n = 0; n < limit && offset + n < recent->count; n++) {
        struct span value = buf_span(&at(recent, recent->count - 1 - offset - n)->value);
        if (out->len + value.len > recent->answer_limit) {
            break;
        }
        buf_append(out, n > 0 ? SPAN(", ") : SPAN(""));
        buf_append(out, value);
    }
    buf_append(out, SPAN("]}"));
}

struct shared_message *chat_recent_answer(struct chat_recent *recent, uint32_t offset,
                                          uint32_t limit)
{
    fill(recent);
    if (!recent->current || !recent->filled || misses_own(recent) || offset > recent->most ||
        limit > recent->most - offset) {
        return NULL;
    }
    if (!recent->answered || recent->offset != offset || recent->limit != limit) {
        forget_answer(recent);
        put_answer(recent, offset, limit);
        shared_message_init(&recent->answer, WS_TEXT, buf_span(&recent->text));
        recent->offset = offset;
        recent->limit = limit;
        recent->answered = true;
    }
    return &recent->answer;
}

struct chat_recent *chat_recent_new(struct store *store, struct span key, uint32_t most,
                                    size_t answer_limit)
{
    struct chat_recent *recent = mem_zalloc(sizeof(*recent));
    recent->store = store;
    recent->key = key;
    recent->most = most < HISTORY_READ_MOST ? most : HISTORY_READ_MOST;
    recent->answer_limit = answer_limit;
    recent->ring = mem_zalloc(recent->most * sizeof(*recent->ring));
    list_init(&recent->own);
    entropy(recent->hash_key, sizeof(recent->hash_key));
    return recent;
}

void chat_recent_free(struct chat_recent **recent)
{
    struct chat_recent *gone = *recent;
    *recent = NULL;
    if (gone == NULL) {
        return;
    }
    clear(gone);
    LIST_EACH(it, &gone->own) {
        list_del(it);
        free(LIST_ITEM(it, struct own, entry));
    }
    buf_free(&gone->text);
    free(gone->ring);
    free(gone);
}
