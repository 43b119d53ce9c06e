/* SPDX-License-Identifier: MIT */
#include "node/service/logs/batch.h"

#include "node/core/pool.h"
#include "node/service/logs/words.h"
#include "store/base/check.h"
#include "store/stream_call.h"

#include <stdlib.h>

enum { REASONS_MOST = 4096 }; /* bytes of them */

/* For each field the place of the member that says it, from 1 on. */
struct chosen {
    unsigned rank[LOGS_FIELDS];
    size_t at[LOGS_FIELDS];
};

static void choose(struct span object, const struct logs_keys *keys, struct chosen *chosen)
{
    struct span rest = json_inside(object);
    struct json_member member;
    struct buf scratch = {0};
    for (size_t at = 1; json_next_member(&rest, &member); at++) {
        struct logs_word word = logs_word_of(&member, keys);
        if (word.field == LOGS_FURTHER ||
            (chosen->at[word.field] > 0 && chosen->rank[word.field] < word.rank)) {
            continue;
        }
        scratch.len = 0;
        if (word.rank == 0 || logs_word_value(&member, word, &scratch)) {
            chosen->rank[word.field] = word.rank;
            chosen->at[word.field] = at;
        }
    }
    buf_free(&scratch);
}

/* The tag, and then the payload's first member. */
static void put_room(struct span object, size_t room_at, struct buf *out, size_t *tag_len)
{
    struct span rest = json_inside(object), room = {NULL, 0};
    struct json_member member;
    size_t begin = out->len;
    for (size_t at = 1; at <= room_at && json_next_member(&rest, &member); at++) {
        room = at == room_at ? member.raw : room;
    }
    enum json_kind kind = json_kind_of(room);
    if (kind == JSON_KIND_STRING) {
        json_unquote(room, out);
    } else if (kind != JSON_KIND_ABSENT && kind != JSON_KIND_NULL) {
        buf_append(out, room);
    } else {
        room = SPAN("\"\"");
    }
    *tag_len = out->len - begin;
    buf_append(out, SPAN("{\"room\":"));
    buf_append(out, room);
}

/* Writes the tag, then the payload; where the tag ends goes to *tag_len. */
static void rewrite(struct logs_batch *batch, struct span object, size_t *tag_len)
{
    struct chosen chosen = {0};
    struct span rest = json_inside(object);
    struct json_member member;
    struct buf *out = &batch->one;
    choose(object, &batch->keys, &chosen);
    put_room(object, chosen.at[LOGS_ROOM], out, tag_len);
    for (size_t at = 1; json_next_member(&rest, &member); at++) {
        struct logs_word word = logs_word_of(&member, &batch->keys);
        if (word.field == LOGS_SERVER_TIME || word.field == LOGS_SEQ_NUMBER ||
            (word.field == LOGS_ROOM && (at == chosen.at[LOGS_ROOM] || word.rank == 0))) {
            continue;
        }
        buf_append(out, SPAN(","));
        if (word.field < LOGS_FIELDS && at == chosen.at[word.field]) {
            buf_printf(out, "\"%s\":", logs_field_name(word.field));
            logs_word_value(&member, word, out);
        } else {
            buf_append(out, member.name);
            buf_append(out, SPAN(":"));
            buf_append(out, member.raw);
        }
    }
    buf_append(out, SPAN("}"));
}

bool logs_batch_add(struct logs_batch *batch, struct span object)
{
    if (batch->seen == LOGS_BATCH_MOST) {
        return false;
    }
    size_t element = batch->seen++;
    pool_give_way();
    if (object.len > batch->entry_limit) {
        batch->refused++;
        if (batch->reasons.len < REASONS_MOST) {
            buf_printf(&batch->reasons, "%s{\"element\":%zu,\"error\":\"more than %zu bytes\"}",
                       batch->reasons.len > 0 ? "," : "", element, batch->entry_limit);
        }
        return true;
    }
    CHECK(batch->items == NULL);
    if (batch->count++ == 0) {
        chunk_begin(&batch->flat);
    }
    struct stream_item item = {0};
    batch->one.len = 0;
    rewrite(batch, object, &item.tag.len);
    item.tag.ptr = batch->one.ptr;
    item.payload = span_skip(buf_span(&batch->one), item.tag.len);
    item.lane = logs_lane(item.tag, batch->lanes);
    stream_item_put(&batch->flat, &item);
    const uint16_t place = (uint16_t)element;
    buf_append(&batch->elements, span_of(&place, sizeof(place)));
    return true;
}

void logs_batch_place(struct logs_batch *batch)
{
    if (batch->flat.len > 0) {
        batch->items = chunk_end(&batch->flat);
    }
}

static struct span items_of(const struct logs_batch *batch)
{
    return span_of(batch->items->data, batch->items->len);
}

static bool is_of(const struct stream_item *item, uint64_t lanes)
{
    return (lanes >> item->lane & 1) != 0;
}

size_t logs_batch_count(const struct logs_batch *batch, uint64_t lanes)
{
    struct span rest = items_of(batch);
    struct stream_item item;
    size_t count = 0;
    while (stream_item_next(&rest, &item)) {
        count += is_of(&item, lanes);
    }
    return count;
}

void logs_batch_keep(struct logs_batch *batch, uint64_t lanes)
{
    struct span rest = items_of(batch);
    struct stream_item item;
    if (logs_batch_count(batch, lanes) == batch->count) {
        return;
    }
    struct buf flat = {0}, elements = {0};
    size_t kept = 0;
    chunk_begin(&flat);
    for (size_t i = 0; stream_item_next(&rest, &item); i++) {
        if (is_of(&item, lanes)) {
            stream_item_put(&flat, &item);
            buf_append(&elements,
                       span_of(batch->elements.ptr + i * sizeof(uint16_t), sizeof(uint16_t)));
            kept++;
        }
    }
    chunk_unref(batch->items);
    buf_free(&batch->elements);
    batch->items = chunk_end(&flat);
    batch->elements = elements;
    batch->count = kept;
}

void logs_batch_print_others(const struct logs_batch *batch, uint64_t lanes, struct buf *out)
{
    struct span rest = items_of(batch);
    struct stream_item item;
    size_t others = 0;
    for (size_t i = 0; stream_item_next(&rest, &item); i++) {
        uint16_t element;
        memcpy(&element, batch->elements.ptr + i * sizeof(element), sizeof(element));
        if (!is_of(&item, lanes)) {
            buf_printf(out, "%s%u", others++ > 0 ? "," : "", element);
        }
    }
}

void logs_batch_free(struct logs_batch *batch)
{
    buf_free(&batch->elements);
    buf_free(&batch->one);
    buf_free(&batch->flat);
    buf_free(&batch->reasons);
    chunk_unref(batch->items);
    *batch = (struct logs_batch){0};
}
