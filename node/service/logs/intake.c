/* SPDX-License-Identifier: MIT */
#include "node/service/logs/intake.h"

#include "node/core/pool.h"
#include "node/service/logs/coding.h"
#include "node/service/logs/protobuf.h"
#include "store/base/utf8.h"

#include <stdio.h>

enum { INTAKE_PIECE = 32 * 1024 }; /* bytes: less than 100 us of work */

/* What is read, and where an error's text goes. */
struct intake {
    struct logs_batch *batch;
    char *error;
    size_t error_size;
};

enum form { FORM_JSON, FORM_LINES, FORM_TEXT, FORM_PAIRS };

static enum logs_verdict too_many(const struct intake *in)
{
    snprintf(in->error, in->error_size, "more than %d entries in one request", LOGS_BATCH_MOST);
    return LOGS_TOO_LARGE;
}

/* ------------------------------------------------------------------------------------ forms */

static bool is_type(struct span type, const char *name)
{
    struct span rest = type, main = span_trim(span_cut(&rest, ';'));
    return main.len == strlen(name) && strncasecmp(main.ptr, name, main.len) == 0;
}

static bool is_lines_type(struct span type)
{
    static const char *const names[] = {"application/x-ndjson",    "application/ndjson",
                                        "application/jsonlines",   "application/jsonl",
                                        "application/x-jsonlines", "application/json-lines"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (is_type(type, names[i])) {
            return true;
        }
    }
    return false;
}

static enum logs_verdict read_array(const struct intake *in, struct span body)
{
    struct span rest = json_inside(body), raw;
    for (size_t element = 0; json_next_element(&rest, &raw); element++) {
        if (json_kind_of(raw) != JSON_KIND_OBJECT) {
            snprintf(in->error, in->error_size, "element %zu is no object", element);
            return LOGS_BAD;
        }
        if (!logs_batch_add(in->batch, raw)) {
            return too_many(in);
        }
    }
    return LOGS_GOOD;
}

/* `body` is one valid JSON value. */
static enum logs_verdict read_value(const struct intake *in, struct span body)
{
    body = json_trim(body);
    if (body.ptr[0] == '[') {
        return read_array(in, body);
    }
    if (body.ptr[0] != '{') {
        snprintf(in->error, in->error_size,
                 "the body is neither an object nor an array of objects");
        return LOGS_BAD;
    }
    return logs_shape_read(in->batch, logs_shape_of(body), body) ? LOGS_GOOD : too_many(in);
}

static enum logs_verdict read_lines(const struct intake *in, struct span body)
{
    size_t number = 0, at;
    while (body.len > 0) {
        struct span line = json_trim(span_cut(&body, '\n'));
        number++;
        if (line.len == 0) {
            continue;
        }
        if (!json_valid(line, &at) || line.ptr[0] != '{') {
            snprintf(in->error, in->error_size, "line %zu is no JSON object", number);
            return LOGS_BAD;
        }
        if (!logs_batch_add(in->batch, line)) {
            return too_many(in);
        }
    }
    return LOGS_GOOD;
}

static enum logs_verdict read_text(const struct intake *in, struct span body)
{
    struct buf entry = {0};
    bool room = true;
    while (room && body.len > 0) {
        struct span line = span_cut(&body, '\n');
        line.len -= line.len > 0 && line.ptr[line.len - 1] == '\r';
        if (line.len == 0) {
            continue;
        }
        entry.len = 0;
        buf_append(&entry, SPAN("{\"msg\":"));
        json_quote(line, &entry);
        buf_append(&entry, SPAN("}"));
        room = logs_batch_add(in->batch, buf_span(&entry));
    }
    buf_free(&entry);
    return room ? LOGS_GOOD : too_many(in);
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* Percent-decoded (WHATWG URL, application/x-www-form-urlencoded parsing), as a JSON string. */
static void put_decoded(struct span text, struct buf *out)
{
    struct buf plain = {0};
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%' && i + 2 < text.len && hex_of(text.ptr[i + 1]) >= 0 &&
            hex_of(text.ptr[i + 2]) >= 0) {
            c = (char)(hex_of(text.ptr[i + 1]) * 16 + hex_of(text.ptr[i + 2]));
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        buf_append(&plain, span_of(&c, 1));
    }
    json_quote(utf8_valid(buf_span(&plain)) ? buf_span(&plain) : SPAN("?"), out);
    buf_free(&plain);
}

/* A form is one entry, as Python's HTTPHandler posts it. */
static enum logs_verdict read_pairs(const struct intake *in, struct span body)
{
    struct buf entry = {0};
    body = span_trim(body);
    buf_append(&entry, SPAN("{"));
    while (body.len > 0) {
        struct span pair = span_cut(&body, '&'), value = pair;
        struct span name = span_cut(&value, '=');
        if (name.len > 0) {
            buf_append(&entry, entry.len > 1 ? SPAN(",") : SPAN(""));
            put_decoded(name, &entry);
            buf_append(&entry, SPAN(":"));
            put_decoded(value.ptr != NULL ? value : SPAN(""), &entry);
        }
    }
    buf_append(&entry, SPAN("}"));
    bool room = logs_batch_add(in->batch, buf_span(&entry));
    buf_free(&entry);
    return room ? LOGS_GOOD : too_many(in);
}

/* The next piece of *rest: of long texts others wait for no more than that. */
static struct span next_piece(struct span *rest)
{
    struct span piece = span_of(rest->ptr, rest->len < INTAKE_PIECE ? rest->len : INTAKE_PIECE);
    *rest = span_skip(*rest, piece.len);
    pool_give_way();
    return piece;
}

static bool is_utf8(struct span body)
{
    struct utf8 utf8 = {0};
    bool good = true;
    while (good && body.len > 0) {
        good = utf8_feed(&utf8, next_piece(&body));
    }
    return good && utf8_whole(&utf8);
}

/* json_valid, by pieces. */
static bool is_json(struct span body, size_t *at)
{
    struct json_scan scan;
    struct span rest = body;
    size_t used = 0;
    int rc = 0;
    json_scan_init(&scan);
    for (*at = 0; rc == 0 && rest.len > 0; *at += used) {
        rc = json_scan_feed(&scan, next_piece(&rest), &used);
    }
    return rc == 0 ? json_scan_end(&scan) : rc > 0 && json_trim(span_skip(body, *at)).len == 0;
}

/* Clients send JSON under any type; so it is what begins like it. */
static enum form form_of(struct span type, struct span body, bool valid)
{
    struct span text = json_trim(body);
    bool like_json = text.len > 0 && (text.ptr[0] == '{' || text.ptr[0] == '[');
    if (is_lines_type(type)) {
        return FORM_LINES;
    }
    if (!like_json && is_type(type, "text/plain")) {
        return FORM_TEXT;
    }
    if (!like_json && is_type(type, "application/x-www-form-urlencoded")) {
        return FORM_PAIRS;
    }
    /* Several objects, a line each, without a type that says so. */
    struct span rest = text, first = span_cut(&rest, '\n');
    size_t at;
    bool lines = !valid && like_json && rest.len > 0 && text.ptr[0] == '{' &&
                 json_valid(json_trim(first), &at);
    return lines ? FORM_LINES : FORM_JSON;
}

static enum logs_verdict read_form(const struct intake *in, struct span type, struct span body)
{
    size_t at = 0;
    if (body.len >= 3 && memcmp(body.ptr, "\xef\xbb\xbf", 3) == 0) {
        body = span_skip(body, 3); /* a byte order mark */
    }
    if (!is_utf8(body)) {
        snprintf(in->error, in->error_size, "the body is not UTF-8");
        return LOGS_BAD;
    }
    bool valid = is_json(body, &at);
    switch (form_of(type, body, valid)) {
    case FORM_LINES:
        return read_lines(in, body);
    case FORM_TEXT:
        return read_text(in, body);
    case FORM_PAIRS:
        return read_pairs(in, body);
    case FORM_JSON:
        break;
    }
    if (!valid) {
        snprintf(in->error, in->error_size, "the body is not valid JSON, from byte %zu on", at);
        return LOGS_BAD;
    }
    return read_value(in, body);
}

static enum logs_verdict judge_coding(const struct intake *in, enum logs_coding coding,
                                      size_t limit)
{
    switch (coding) {
    case LOGS_UNKNOWN:
        snprintf(in->error, in->error_size,
                 "of content codings, gzip, deflate, zstd, snappy are taken");
        return LOGS_UNSUPPORTED;
    case LOGS_BROKEN:
        snprintf(in->error, in->error_size, "the body is not what its Content-Encoding says");
        return LOGS_BAD;
    case LOGS_TOO_BIG:
        snprintf(in->error, in->error_size, "the body has more than %zu bytes, decoded", limit);
        return LOGS_TOO_LARGE;
    case LOGS_PLAIN:
    case LOGS_DECODED:
        break;
    }
    return LOGS_GOOD;
}

bool logs_is_protobuf(struct span type)
{
    return is_type(type, "application/x-protobuf") || is_type(type, "application/protobuf");
}

/* Written again as the JSON of the same protocol, and read as that. */
static enum logs_verdict read_protobuf(const struct intake *in, enum logs_shape shape,
                                       struct span bytes)
{
    struct buf json = {0};
    bool good = shape == LOGS_SHAPE_OTLP ? logs_protobuf_otlp(bytes, &json)
                                         : logs_protobuf_loki(bytes, &json);
    enum logs_verdict verdict = LOGS_BAD;
    if (good) {
        verdict = logs_shape_read(in->batch, shape, buf_span(&json)) ? LOGS_GOOD : too_many(in);
    } else {
        snprintf(in->error, in->error_size,
                 "the body is not the protobuf message of this protocol");
    }
    buf_free(&json);
    return verdict;
}

/* A protobuf body of Loki's protocol is a snappy block, whether a header says so or not. */
static struct span coding_of(const struct logs_body *body, bool protobuf)
{
    return protobuf && body->binary == LOGS_SHAPE_LOKI && body->coding.len == 0 ? SPAN("snappy")
                                                                                : body->coding;
}

enum logs_verdict logs_intake_read(struct logs_batch *batch, const struct logs_body *body,
                                   char *error, size_t error_size)
{
    const struct intake in = {batch, error, error_size};
    struct buf decoded = {0};
    bool protobuf = logs_is_protobuf(body->type);
    if (protobuf && body->binary == LOGS_SHAPE_ENTRY) {
        snprintf(error, error_size, "protobuf is not taken here: send JSON");
        return LOGS_UNSUPPORTED;
    }
    enum logs_coding coding =
        logs_decode(coding_of(body, protobuf), body->bytes, body->limit, &decoded);
    enum logs_verdict verdict = judge_coding(&in, coding, body->limit);
    if (verdict == LOGS_GOOD) {
        struct span bytes = coding == LOGS_PLAIN ? body->bytes : buf_span(&decoded);
        verdict =
            protobuf ? read_protobuf(&in, body->binary, bytes) : read_form(&in, body->type, bytes);
    }
    buf_free(&decoded);
    if (verdict == LOGS_GOOD && batch->count == 0 && batch->refused > 0) {
        if (batch->seen == 1) {
            snprintf(error, error_size, "the entry has more than %zu bytes", batch->entry_limit);
        } else {
            snprintf(error, error_size, "each entry has more than %zu bytes", batch->entry_limit);
        }
        return LOGS_TOO_LARGE;
    }
    logs_batch_place(batch);
    return verdict;
}
