/* SPDX-License-Identifier: MIT */
#include "node/service/logs/shapes.h"

#include "node/service/logs/words.h"

#include <stdlib.h>

static struct span find(struct span object, const char *name)
{
    struct span rest = json_inside(object), found = {NULL, 0};
    struct json_member member;
    while (json_kind_of(object) == JSON_KIND_OBJECT && json_next_member(&rest, &member)) {
        found = json_name_is(member.name, name) ? member.raw : found;
    }
    return found;
}

/* The elements of a member that is an array; of another nothing. */
static struct span elements(struct span object, const char *name)
{
    struct span raw = find(object, name);
    return json_kind_of(raw) == JSON_KIND_ARRAY ? json_inside(raw) : span_of("", 0);
}

enum logs_shape logs_shape_of(struct span object)
{
    static const char *const names[] = {[LOGS_SHAPE_EVENTS] = "events",
                                        [LOGS_SHAPE_LOKI] = "streams",
                                        [LOGS_SHAPE_OTLP] = "resourceLogs"};
    struct span rest = json_inside(object);
    struct json_member member;
    if (!json_next_member(&rest, &member) || json_kind_of(member.raw) != JSON_KIND_ARRAY ||
        json_trim(rest).len > 0) {
        return LOGS_SHAPE_ENTRY;
    }
    for (int shape = LOGS_SHAPE_EVENTS; shape <= LOGS_SHAPE_OTLP; shape++) {
        if (json_name_is(member.name, names[shape])) {
            return (enum logs_shape)shape;
        }
    }
    return LOGS_SHAPE_ENTRY;
}

static void put_member(struct buf *entry, struct span name, struct span raw)
{
    buf_append(entry, entry->len > 1 ? SPAN(",") : SPAN(""));
    buf_append(entry, name);
    buf_append(entry, SPAN(":"));
    buf_append(entry, raw);
}

static void put_members(struct buf *entry, struct span object)
{
    struct span rest = json_inside(object);
    struct json_member member;
    while (json_kind_of(object) == JSON_KIND_OBJECT && json_next_member(&rest, &member)) {
        put_member(entry, member.name, member.raw);
    }
}

static bool add(struct logs_batch *batch, struct buf *entry)
{
    buf_append(entry, SPAN("}"));
    bool added = logs_batch_add(batch, buf_span(entry));
    buf_free(entry);
    return added;
}

/* ------------------------------------------------------------------------------------ Loki */

/* [nanoseconds, line] or [nanoseconds, line, {metadata}]. */
static bool add_value(struct logs_batch *batch, struct span labels, struct span value)
{
    struct span rest = json_inside(value), time, line, metadata = {NULL, 0};
    if (json_kind_of(value) != JSON_KIND_ARRAY || !json_next_element(&rest, &time) ||
        !json_next_element(&rest, &line)) {
        return true;
    }
    json_next_element(&rest, &metadata);
    struct buf entry = {0};
    buf_append(&entry, SPAN("{"));
    put_members(&entry, labels);
    put_members(&entry, metadata);
    put_member(&entry, SPAN("\"timestamp\""), time);
    put_member(&entry, SPAN("\"msg\""), line);
    return add(batch, &entry);
}

static bool read_loki(struct logs_batch *batch, struct span object)
{
    struct span streams = elements(object, "streams"), stream, value;
    bool room = true;
    while (room && json_next_element(&streams, &stream)) {
        struct span values = elements(stream, "values"), labels = find(stream, "stream");
        while (room && json_next_element(&values, &value)) {
            room = add_value(batch, labels, value);
        }
    }
    return room;
}

/* ------------------------------------------------------------------------------------ OTLP */

/* An AnyValue has one member, named after its type; an integer of 64 bits comes as a string. */
static struct span any_value(struct span value)
{
    struct span rest = json_inside(value);
    struct json_member member;
    if (json_kind_of(value) != JSON_KIND_OBJECT || !json_next_member(&rest, &member)) {
        return span_str("null");
    }
    bool number = json_name_is(member.name, "intValue") && member.raw.ptr[0] == '"' &&
                  member.raw.len > 2 &&
                  strspn(member.raw.ptr + 1, "-0123456789") == member.raw.len - 2;
    return number && member.raw.ptr[1] != '0' ? span_of(member.raw.ptr + 1, member.raw.len - 2)
                                              : member.raw;
}

static void put_attributes(struct buf *entry, struct span object)
{
    struct span attributes = elements(object, "attributes"), attribute;
    while (json_next_element(&attributes, &attribute)) {
        struct span key = find(attribute, "key");
        if (json_kind_of(key) == JSON_KIND_STRING) {
            put_member(entry, key, any_value(find(attribute, "value")));
        }
    }
}

static bool is_time(struct span raw)
{
    return raw.len > 0 && !span_eq(raw, SPAN("0")) && !span_eq(raw, SPAN("\"0\"")) &&
           !span_eq(raw, SPAN("\"\""));
}

static bool add_record(struct logs_batch *batch, struct span resource, struct span record)
{
    struct span time = find(record, "timeUnixNano"), body = find(record, "body");
    struct buf entry = {0};
    buf_append(&entry, SPAN("{"));
    put_attributes(&entry, resource);
    put_attributes(&entry, record);
    struct span text = find(record, "severityText"), number = find(record, "severityNumber");
    const char *word = json_kind_of(number) == JSON_KIND_NUMBER
                           ? logs_word_severity((unsigned)strtoul(number.ptr, NULL, 10))
                           : NULL;
    if (word != NULL) {
        buf_append(&entry, entry.len > 1 ? SPAN(",\"level\":") : SPAN("\"level\":"));
        json_quote(span_str(word), &entry);
    } else if (json_kind_of(text) == JSON_KIND_STRING && text.len > 2) {
        put_member(&entry, SPAN("\"severity\""), text);
    }
    time = is_time(time) ? time : find(record, "observedTimeUnixNano");
    if (is_time(time)) {
        put_member(&entry, SPAN("\"timestamp\""), time);
    }
    static const char *const ids[] = {"traceId", "spanId"};
    for (int i = 0; i < 2; i++) {
        struct span id = find(record, ids[i]);
        if (id.len > 2) {
            put_member(&entry, i == 0 ? SPAN("\"traceId\"") : SPAN("\"spanId\""), id);
        }
    }
    if (body.len > 0) {
        put_member(&entry, SPAN("\"msg\""), any_value(body));
    }
    return add(batch, &entry);
}

static bool read_otlp(struct logs_batch *batch, struct span object)
{
    struct span resources = elements(object, "resourceLogs"), one, scope, record;
    bool room = true;
    while (room && json_next_element(&resources, &one)) {
        struct span scopes = elements(one, "scopeLogs"), resource = find(one, "resource");
        while (room && json_next_element(&scopes, &scope)) {
            struct span records = elements(scope, "logRecords");
            while (room && json_next_element(&records, &record)) {
                room =
                    json_kind_of(record) != JSON_KIND_OBJECT || add_record(batch, resource, record);
            }
        }
    }
    return room;
}

/* ------------------------------------------------------------------------------------ all */

bool logs_shape_read(struct logs_batch *batch, enum logs_shape shape, struct span object)
{
    struct span events = elements(object, "events"), one;
    bool room = true;
    switch (shape) {
    case LOGS_SHAPE_LOKI:
        return read_loki(batch, object);
    case LOGS_SHAPE_OTLP:
        return read_otlp(batch, object);
    case LOGS_SHAPE_EVENTS:
        while (room && json_next_element(&events, &one)) {
            room = json_kind_of(one) != JSON_KIND_OBJECT || logs_batch_add(batch, one);
        }
        return room;
    case LOGS_SHAPE_ENTRY:
        break;
    }
    return logs_batch_add(batch, object);
}
