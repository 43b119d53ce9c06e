/* SPDX-License-Identifier: MIT */
#include "node/service/logs/entry.h"

#include "store/base/hash.h"
#include "store/base/mem.h"
#include "store/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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

const char *logs_field_name(enum logs_field field)
{
    return names[field].ptr;
}

bool logs_is_no_room(struct span room)
{
    return room.len == 0 || span_eq(room, SPAN("undefined"));
}

unsigned logs_lane(struct span room, unsigned lanes)
{
    uint32_t hash = hash_fnv1a(room);
    hash = (hash ^ (hash >> 16)) * 0x85ebca6bU;
    return (hash ^ (hash >> 13)) % lanes;
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

bool logs_is_own(struct span tag, struct span payload)
{
    static const char mark[] = ",\"user\":\"server\",\"node\":\"";
    return tag.len == 0 && memmem(payload.ptr, payload.len, mark, sizeof(mark) - 1) != NULL;
}

void logs_print(struct buf *out, uint64_t seq, struct span payload)
{
    buf_printf(out, "{\"%s\":%" PRIu64 ",\"%s\":%" PRIu64 ",", names[LOGS_SERVER_TIME].ptr,
               seq / 1000, names[LOGS_SEQ_NUMBER].ptr, seq);
    buf_append(out, span_skip(payload, 1));
}

void logs_print_note(struct buf *out, uint64_t time_ms, uint64_t seq, struct span msg)
{
    struct buf entry = {0};
    logs_print_own(&entry, time_ms, "warn", msg, msg, "");
    buf_printf(out, "{\"%s\":%" PRIu64 ",\"%s\":%" PRIu64 ",", names[LOGS_SERVER_TIME].ptr, time_ms,
               names[LOGS_SEQ_NUMBER].ptr, seq);
    buf_append(out, span_skip(buf_span(&entry), 1));
    buf_free(&entry);
}
