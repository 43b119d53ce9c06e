/* SPDX-License-Identifier: MIT */
#include "node/service/logs/entry.h"

#include "store/base/mem.h"
#include "store/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ENTRIES_MOST = 10000 }; /* of one body */

static const struct span names[LOGS_FIELDS] = {
    [LOGS_TIMESTAMP] = {"timestamp", sizeof "timestamp" - 1},
    [LOGS_LEVEL] = {"level", sizeof "level" - 1},
    [LOGS_MSG] = {"msg", sizeof "msg" - 1},
    [LOGS_TEXT] = {"text", sizeof "text" - 1},
    [LOGS_USER] = {"user", sizeof "user" - 1},
    [LOGS_ROOM] = {"room", sizeof "room" - 1},
    [LOGS_SERVER_TIME] = {"serverTime", sizeof "serverTime" - 1},
    [LOGS_SEQ_NUMBER] = {"seqNumber", sizeof "seqNumber" - 1},
};

enum logs_field logs_field_of(const struct json_member *member)
{
    struct span name = span_of(member->name.ptr + 1, member->name.len - 2);
    bool plain = memchr(name.ptr, '\\', name.len) == NULL;
    unsigned field = 0;
    while (field < LOGS_FIELDS &&
           (plain ? !span_eq(name, names[field]) : !json_name_is(member->name, names[field].ptr))) {
        field++;
    }
    return (enum logs_field)field;
}

bool logs_is_no_room(struct span room)
{
    return room.len == 0 || span_eq(room, SPAN("undefined"));
}

/* FNV-1a with a last mixing, as for the store's servers. */
unsigned logs_lane(struct span room, unsigned lanes)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < room.len; i++) {
        hash = (hash ^ (unsigned char)room.ptr[i]) * 16777619U;
    }
    hash = (hash ^ (hash >> 16)) * 0x85ebca6bU;
    return (hash ^ (hash >> 13)) % lanes;
}

/* ------------------------------------------------------------------------------------ in */

/* Writes the tag, then the payload; where the tag ends goes to *tag_len. */
static void rewrite(struct span object, struct buf *out, size_t *tag_len)
{
    struct span rest = json_inside(object), room = {NULL, 0};
    struct json_member member;
    size_t begin = out->len;
    while (json_next_member(&rest, &member)) {
        room = logs_field_of(&member) == LOGS_ROOM ? member.raw : room;
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
    rest = json_inside(object);
    while (json_next_member(&rest, &member)) {
        enum logs_field field = logs_field_of(&member);
        if (field != LOGS_ROOM && field != LOGS_SERVER_TIME && field != LOGS_SEQ_NUMBER) {
            buf_append(out, SPAN(","));
            buf_append(out, member.name);
            buf_append(out, SPAN(":"));
            buf_append(out, member.raw);
        }
    }
    buf_append(out, SPAN("}"));
}

static void add(struct logs_batch *batch, struct span object)
{
    if (batch->count == batch->cap) {
        batch->cap = batch->cap > 0 ? batch->cap * 2 : 16;
        batch->items = mem_realloc(batch->items, batch->cap * sizeof(*batch->items));
    }
    struct stream_item *item = &batch->items[batch->count++];
    size_t begin = batch->text.len;
    rewrite(object, &batch->text, &item->tag.len);
    item->payload.len = batch->text.len - begin - item->tag.len;
}

/* Only now does the text stay where it is. */
static void place(struct logs_batch *batch, unsigned lanes)
{
    const char *at = batch->text.ptr;
    for (size_t i = 0; i < batch->count; i++) {
        struct stream_item *item = &batch->items[i];
        item->tag.ptr = at;
        item->payload.ptr = at + item->tag.len;
        item->lane = logs_lane(item->tag, lanes);
        at = item->payload.ptr + item->payload.len;
    }
}

static enum logs_verdict read_array(struct logs_batch *batch, struct span body, size_t entry_limit,
                                    char *error, size_t error_size)
{
    struct span rest = json_inside(body), raw;
    while (json_next_element(&rest, &raw)) {
        if (json_kind_of(raw) != JSON_KIND_OBJECT) {
            snprintf(error, error_size, "element %zu is no object", batch->count);
            return LOGS_BAD;
        }
        if (raw.len > entry_limit) {
            snprintf(error, error_size, "element %zu has more than %zu bytes", batch->count,
                     entry_limit);
            return LOGS_TOO_LARGE;
        }
        if (batch->count == ENTRIES_MOST) {
            snprintf(error, error_size, "more than %d entries in one request", ENTRIES_MOST);
            return LOGS_TOO_LARGE;
        }
        add(batch, raw);
    }
    return LOGS_GOOD;
}

enum logs_verdict logs_batch_read(struct logs_batch *batch, struct span body, size_t entry_limit,
                                  unsigned lanes, char *error, size_t error_size)
{
    size_t at;
    if (!utf8_valid(body)) {
        snprintf(error, error_size, "the body is not UTF-8");
        return LOGS_BAD;
    }
    if (!json_valid(body, &at)) {
        snprintf(error, error_size, "the body is not valid JSON, from byte %zu on", at);
        return LOGS_BAD;
    }
    while (body.ptr[0] == ' ' || body.ptr[0] == '\t' || body.ptr[0] == '\r' ||
           body.ptr[0] == '\n') {
        body = span_skip(body, 1);
    }
    enum logs_verdict verdict = LOGS_GOOD;
    if (body.ptr[0] == '[') {
        verdict = read_array(batch, body, entry_limit, error, error_size);
    } else if (body.ptr[0] != '{') {
        snprintf(error, error_size, "the body is neither an object nor an array of objects");
        return LOGS_BAD;
    } else if (body.len > entry_limit) {
        snprintf(error, error_size, "the entry has more than %zu bytes", entry_limit);
        return LOGS_TOO_LARGE;
    } else {
        add(batch, body);
    }
    place(batch, lanes);
    return verdict;
}

void logs_batch_free(struct logs_batch *batch)
{
    buf_free(&batch->text);
    free(batch->items);
    *batch = (struct logs_batch){0};
}

/* ------------------------------------------------------------------------------------ out */

static void print_member(struct buf *out, enum logs_field field, struct span text)
{
    buf_printf(out, ",\"%s\":", names[field].ptr);
    json_quote(text, out);
}

void logs_print_own(struct buf *out, uint64_t time_ms, const char *level, struct span msg,
                    struct span text, const char *node)
{
    buf_printf(out, "{\"%s\":\"\",\"%s\":%" PRIu64, names[LOGS_ROOM].ptr, names[LOGS_TIMESTAMP].ptr,
               time_ms);
    print_member(out, LOGS_LEVEL, span_str(level));
    print_member(out, LOGS_MSG, msg);
    print_member(out, LOGS_TEXT, text);
    print_member(out, LOGS_USER, SPAN("server"));
    buf_append(out, SPAN(",\"node\":"));
    json_quote(span_str(node), out);
    buf_append(out, SPAN("}"));
}

void logs_print(struct buf *out, uint64_t seq, struct span payload)
{
    buf_printf(out, "{\"%s\":%" PRIu64 ",\"%s\":%" PRIu64 ",", names[LOGS_SERVER_TIME].ptr,
               seq / 1000, names[LOGS_SEQ_NUMBER].ptr, seq);
    buf_append(out, span_skip(payload, 1));
}

void logs_print_note(struct buf *out, uint64_t time_ms, struct span msg)
{
    struct buf entry = {0};
    logs_print_own(&entry, time_ms, "warn", msg, msg, "");
    buf_printf(out, "{\"%s\":%" PRIu64 ",", names[LOGS_SERVER_TIME].ptr, time_ms);
    buf_append(out, span_skip(buf_span(&entry), 1));
    buf_free(&entry);
}
