/* SPDX-License-Identifier: MIT */
#include "node/service/logs/protobuf.h"

#include "node/core/pool.h"
#include "node/proto/json/scan.h"
#include "node/service/logs/words.h"

#include <inttypes.h>
#include <math.h>
#include <pb_decode.h>
#include <pb_encode.h>

enum { PROTOBUF_DEPTH = 16, VARINT_MOST = 10 };

/* ------------------------------------------------------------------------------------ the wire */

struct protobuf_field {
    uint32_t tag;
    pb_wire_type_t wire;
    uint64_t number;   /* of a varint and of fixed 64 bits */
    struct span bytes; /* of a string, of bytes and of a message */
};

/* Where a message is read, and whether it kept to the form so far. */
struct protobuf_reader {
    pb_istream_t stream;
    struct span message;
    bool broken;
};

static struct protobuf_reader reader_of(struct span message)
{
    return (struct protobuf_reader){
        pb_istream_from_buffer((const pb_byte_t *)message.ptr, message.len), message, false};
}

static bool take_bytes(struct protobuf_reader *reader, struct span *bytes)
{
    uint32_t len;
    if (!pb_decode_varint32(&reader->stream, &len) || len > reader->stream.bytes_left) {
        return false;
    }
    *bytes = span_of(reader->message.ptr + reader->message.len - reader->stream.bytes_left, len);
    return pb_read(&reader->stream, NULL, len);
}

/* The next field; false at the end, and where the message breaks the form. */
static bool next_field(struct protobuf_reader *reader, struct protobuf_field *field)
{
    bool end, good;
    *field = (struct protobuf_field){0};
    if (reader->broken || !pb_decode_tag(&reader->stream, &field->wire, &field->tag, &end)) {
        reader->broken = reader->broken || !end;
        return false;
    }
    switch (field->wire) {
    case PB_WT_VARINT:
        good = pb_decode_varint(&reader->stream, &field->number);
        break;
    case PB_WT_64BIT:
        good = pb_decode_fixed64(&reader->stream, &field->number);
        break;
    case PB_WT_STRING:
        good = take_bytes(reader, &field->bytes);
        break;
    default:
        good = pb_skip_field(&reader->stream, field->wire);
    }
    reader->broken = !good;
    return good;
}

/* The first field with this tag that is a string, bytes or a message. */
static struct span find(struct span message, uint32_t tag)
{
    struct protobuf_reader reader = reader_of(message);
    struct protobuf_field field;
    while (next_field(&reader, &field)) {
        if (field.tag == tag && field.wire == PB_WT_STRING) {
            return field.bytes;
        }
    }
    return (struct span){NULL, 0};
}

/* ------------------------------------------------------------------------------------ JSON */

static void put_comma(struct buf *out)
{
    if (out->len > 0 && strchr("[{", out->ptr[out->len - 1]) == NULL) {
        buf_append(out, SPAN(","));
    }
}

static void put_name(const char *name, struct buf *out)
{
    put_comma(out);
    buf_printf(out, "\"%s\":", name);
}

static void put_text(const char *name, struct span text, struct buf *out)
{
    put_name(name, out);
    logs_word_quote(text, out);
}

static void put_time(const char *name, uint64_t ns, struct buf *out)
{
    put_name(name, out);
    buf_printf(out, "\"%" PRIu64 "\"", ns);
}

static void put_hex(const char *name, struct span bytes, struct buf *out)
{
    put_name(name, out);
    buf_append(out, SPAN("\""));
    for (size_t i = 0; i < bytes.len; i++) {
        buf_printf(out, "%02x", (unsigned char)bytes.ptr[i]);
    }
    buf_append(out, SPAN("\""));
}

typedef bool message_fn(struct span message, unsigned depth, struct buf *out);

/* `name`: [ each field `tag` of the message, as `fn` writes it ]. */
static bool put_each(const char *name, struct span message, uint32_t tag, message_fn *fn,
                     unsigned depth, struct buf *out)
{
    struct protobuf_reader reader = reader_of(message);
    struct protobuf_field field;
    put_name(name, out);
    buf_append(out, SPAN("["));
    while (next_field(&reader, &field)) {
        if (field.tag == tag && field.wire == PB_WT_STRING) {
            pool_give_way();
            put_comma(out);
            if (!fn(field.bytes, depth, out)) {
                return false;
            }
        }
    }
    buf_append(out, SPAN("]"));
    return !reader.broken;
}

/* ------------------------------------------------------------------------------------ OTLP */

static bool put_any_value(struct span value, unsigned depth, struct buf *out);

/* KeyValue: 1 key, 2 value. */
static bool put_attribute(struct span pair, unsigned depth, struct buf *out)
{
    buf_append(out, SPAN("{"));
    put_text("key", find(pair, 1), out);
    put_name("value", out);
    bool good = put_any_value(find(pair, 2), depth, out);
    buf_append(out, SPAN("}"));
    return good;
}

static void put_double(uint64_t bits, struct buf *out)
{
    double number;
    memcpy(&number, &bits, sizeof(number));
    put_name("doubleValue", out);
    if (isfinite(number)) {
        buf_printf(out, "%.17g", number);
    } else {
        buf_append(out, isnan(number) ? SPAN("\"NaN\"")
                        : number > 0  ? SPAN("\"Infinity\"")
                                      : SPAN("\"-Infinity\""));
    }
}

/* One member, named after its type, as OTLP's JSON has it; of bytes the hex digits. */
static bool put_typed(const struct protobuf_field *field, unsigned depth, struct buf *out)
{
    switch (field->tag) {
    case 1:
        put_text("stringValue", field->bytes, out);
        break;
    case 2:
        put_name("boolValue", out);
        buf_append(out, field->number != 0 ? SPAN("true") : SPAN("false"));
        break;
    case 3:
        put_name("intValue", out);
        buf_printf(out, "\"%" PRId64 "\"", (int64_t)field->number);
        break;
    case 4:
        put_double(field->number, out);
        break;
    case 5:
    case 6: {
        put_name(field->tag == 5 ? "arrayValue" : "kvlistValue", out);
        buf_append(out, SPAN("{"));
        bool good = put_each("values", field->bytes, 1,
                             field->tag == 5 ? put_any_value : put_attribute, depth + 1, out);
        buf_append(out, SPAN("}"));
        return good;
    }
    case 7:
        put_hex("bytesValue", field->bytes, out);
        break;
    default:
        break;
    }
    return true;
}

/* AnyValue: one of 1 string, 2 bool, 3 int, 4 double, 5 array, 6 list of pairs, 7 bytes. */
static bool put_any_value(struct span value, unsigned depth, struct buf *out)
{
    struct protobuf_reader reader = reader_of(value);
    struct protobuf_field field, last = {0};
    if (depth >= PROTOBUF_DEPTH) {
        buf_append(out, SPAN("null"));
        return true;
    }
    while (next_field(&reader, &field)) {
        last = field.tag >= 1 && field.tag <= 7 ? field : last; /* of a oneof the last counts */
    }
    buf_append(out, SPAN("{"));
    bool good = put_typed(&last, depth, out);
    buf_append(out, SPAN("}"));
    return good && !reader.broken;
}

/* LogRecord: 1 time, 2 severity, 3 its text, 5 body, 6 attributes, 9 trace, 10 span, 11 observed. */
static bool put_record(struct span record, unsigned depth, struct buf *out)
{
    struct protobuf_reader reader = reader_of(record);
    struct protobuf_field field;
    bool good = true;
    buf_append(out, SPAN("{"));
    while (good && next_field(&reader, &field)) {
        switch (field.tag) {
        case 1:
            put_time("timeUnixNano", field.number, out);
            break;
        case 2:
            put_name("severityNumber", out);
            buf_printf(out, "%" PRIu64, field.number);
            break;
        case 3:
            put_text("severityText", field.bytes, out);
            break;
        case 5:
            put_name("body", out);
            good = put_any_value(field.bytes, depth, out);
            break;
        case 9:
            put_hex("traceId", field.bytes, out);
            break;
        case 10:
            put_hex("spanId", field.bytes, out);
            break;
        case 11:
            put_time("observedTimeUnixNano", field.number, out);
            break;
        default:
            break;
        }
    }
    good = good && !reader.broken && put_each("attributes", record, 6, put_attribute, depth, out);
    buf_append(out, SPAN("}"));
    return good;
}

/* ScopeLogs: 2 records. */
static bool put_scope(struct span scope, unsigned depth, struct buf *out)
{
    buf_append(out, SPAN("{"));
    bool good = put_each("logRecords", scope, 2, put_record, depth, out);
    buf_append(out, SPAN("}"));
    return good;
}

/* ResourceLogs: 1 resource (1 attributes), 2 scopes. */
static bool put_resource(struct span one, unsigned depth, struct buf *out)
{
    buf_append(out, SPAN("{"));
    put_name("resource", out);
    buf_append(out, SPAN("{"));
    bool good = put_each("attributes", find(one, 1), 1, put_attribute, depth, out);
    buf_append(out, SPAN("}"));
    good = good && put_each("scopeLogs", one, 2, put_scope, depth, out);
    buf_append(out, SPAN("}"));
    return good;
}

bool logs_protobuf_otlp(struct span bytes, struct buf *out)
{
    buf_append(out, SPAN("{"));
    bool good = put_each("resourceLogs", bytes, 1, put_resource, 0, out);
    buf_append(out, SPAN("}"));
    return good;
}

/* ------------------------------------------------------------------------------------ Loki */

/* A quoted text as Prometheus writes it: \" \\ \n. false: it has no end. */
static bool take_quoted(struct span *text, struct buf *value)
{
    value->len = 0;
    if (text->len == 0 || text->ptr[0] != '"') {
        return false;
    }
    for (*text = span_skip(*text, 1); text->len > 0 && text->ptr[0] != '"';
         *text = span_skip(*text, 1)) {
        char c = text->ptr[0];
        if (c == '\\' && text->len > 1) {
            *text = span_skip(*text, 1);
            c = text->ptr[0] == 'n' ? '\n' : text->ptr[0] == 't' ? '\t' : text->ptr[0];
        }
        buf_append(value, span_of(&c, 1));
    }
    if (text->len == 0) {
        return false;
    }
    *text = span_skip(*text, 1);
    return true;
}

/* {name="value", ...}. What does not have that form is passed over, from there on. */
static void put_labels(struct span text, struct buf *out)
{
    struct buf value = {0};
    put_name("stream", out);
    buf_append(out, SPAN("{"));
    text = span_trim(text);
    text = text.len > 0 && text.ptr[0] == '{' ? span_skip(text, 1) : text;
    while (text.len > 0 && text.ptr[0] != '}') {
        struct span name = span_trim(span_cut(&text, '='));
        if (name.len == 0 || !take_quoted(&text, &value)) {
            break;
        }
        put_comma(out);
        logs_word_quote(name, out);
        buf_append(out, SPAN(":"));
        logs_word_quote(buf_span(&value), out);
        text = span_trim(text);
        text = span_trim(text.len > 0 && text.ptr[0] == ',' ? span_skip(text, 1) : text);
    }
    buf_append(out, SPAN("}"));
    buf_free(&value);
}

/* Timestamp: 1 seconds, 2 nanoseconds. */
static uint64_t nanoseconds(struct span timestamp)
{
    struct protobuf_reader reader = reader_of(timestamp);
    struct protobuf_field field;
    uint64_t ns = 0;
    while (next_field(&reader, &field)) {
        ns += field.tag == 1 ? field.number * 1000000000 : field.tag == 2 ? field.number : 0;
    }
    return ns;
}

/* EntryAdapter: 1 timestamp, 2 line, 3 pairs of 1 name, 2 value. */
static bool put_value(struct span entry, unsigned depth, struct buf *out)
{
    (void)depth;
    struct protobuf_reader reader = reader_of(entry);
    struct protobuf_field field;
    buf_printf(out, "[\"%" PRIu64 "\",", nanoseconds(find(entry, 1)));
    logs_word_quote(find(entry, 2), out);
    buf_append(out, SPAN(",{"));
    while (next_field(&reader, &field)) {
        if (field.tag == 3 && field.wire == PB_WT_STRING) {
            put_comma(out);
            logs_word_quote(find(field.bytes, 1), out);
            buf_append(out, SPAN(":"));
            logs_word_quote(find(field.bytes, 2), out);
        }
    }
    buf_append(out, SPAN("}]"));
    return !reader.broken;
}

/* StreamAdapter: 1 labels, 2 entries. */
static bool put_stream(struct span stream, unsigned depth, struct buf *out)
{
    buf_append(out, SPAN("{"));
    put_labels(find(stream, 1), out);
    bool good = put_each("values", stream, 2, put_value, depth, out);
    buf_append(out, SPAN("}"));
    return good;
}

bool logs_protobuf_loki(struct span bytes, struct buf *out)
{
    buf_append(out, SPAN("{"));
    bool good = put_each("streams", bytes, 1, put_stream, 0, out);
    buf_append(out, SPAN("}"));
    return good;
}

/* ------------------------------------------------------------------------------------ answers */

static void put_varint(uint64_t value, struct buf *out)
{
    pb_byte_t bytes[VARINT_MOST];
    pb_ostream_t stream = pb_ostream_from_buffer(bytes, sizeof(bytes));
    if (pb_encode_varint(&stream, value)) {
        buf_append(out, span_of(bytes, stream.bytes_written));
    }
}

static void put_field(uint32_t tag, struct span bytes, struct buf *out)
{
    put_varint(tag << 3 | PB_WT_STRING, out);
    put_varint(bytes.len, out);
    buf_append(out, bytes);
}

void logs_protobuf_response(size_t refused, struct span why, struct buf *out)
{
    struct buf partial = {0};
    if (refused > 0) {
        put_varint(1 << 3 | PB_WT_VARINT, &partial);
        put_varint(refused, &partial);
        put_field(2, why, &partial);
        put_field(1, buf_span(&partial), out);
    }
    buf_free(&partial);
}

void logs_protobuf_status(struct span message, struct buf *out)
{
    put_field(2, message, out);
}
