/* SPDX-License-Identifier: MIT */
/* Our JSON against jansson's: both must take the same texts, but for what jansson's tree cannot
 * hold (numbers out of range, lone surrogates, NUL in keys) and for our limit of depth. And whole
 * or in pieces, the answer must be the same. */
#include <jansson.h>

#include "node/proto/json/scan.h"
#include "store/base/mem.h"
#include "store/base/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Accepted? Fed in pieces as `seed` says, 0: whole. */
static bool accepts(struct span text, uint32_t seed)
{
    struct json_scan scan;
    size_t used = 0;
    int rc = 0;
    json_scan_init(&scan);
    while (text.len > 0 && rc == 0) {
        seed = seed * 1664525 + 1013904223;
        size_t piece = (seed & 1) == 0 ? text.len : (seed >> 24) % 5 + 1;
        piece = piece < text.len ? piece : text.len;
        rc = json_scan_feed(&scan, span_of(text.ptr, piece), &used);
        must(used <= piece && (rc != 0 || used == piece), "used");
        text = span_skip(text, used);
    }
    while (text.len > 0 && rc > 0 && is_space(text.ptr[0])) {
        text = span_skip(text, 1);
    }
    return rc >= 0 && text.len == 0 && json_scan_end(&scan);
}

static bool tree_has_no_room(const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
           code == json_error_stack_overflow || strncmp(error->text, "invalid Unicode", 15) == 0;
}

static bool is_deep(json_t *json, unsigned depth)
{
    if (json_typeof(json) != JSON_OBJECT && json_typeof(json) != JSON_ARRAY) {
        return false;
    }
    bool deep = depth == JSON_SCAN_DEPTH;
    for (void *it = json_object_iter(json); it != NULL && !deep;
         it = json_object_iter_next(json, it)) {
        deep = is_deep(json_object_iter_value(it), depth + 1);
    }
    for (size_t i = 0; i < json_array_size(json) && !deep; i++) {
        deep = is_deep(json_array_get(json, i), depth + 1);
    }
    return deep;
}

/* The beginning of a text: up to the character that reaches so many bytes. */
static void compare_cut(const struct buf *whole, struct span raw)
{
    struct buf cut = {0};
    for (size_t most = 0; most < 12; most++) {
        cut.len = 0;
        json_unquote_cut(raw, most, &cut);
        must(cut.len == 0 || span_starts_with(buf_span(whole), buf_span(&cut)), "the beginning");
        must(utf8_valid(buf_span(&cut)), "of whole characters");
        must(cut.len < most + 4 && (cut.len >= most || cut.len == whole->len), "as much as it may");
    }
    buf_free(&cut);
}

static void compare_string(const json_t *value, struct span raw)
{
    struct buf text = {0}, again = {0}, back = {0};
    json_unquote(raw, &text);
    must(utf8_valid(buf_span(&text)), "unquoted UTF-8");
    must(span_eq(buf_span(&text), span_of(json_string_value(value), json_string_length(value))),
         "unquoted");
    compare_cut(&text, raw);
    json_quote(buf_span(&text), &again);
    must(accepts(buf_span(&again), 1), "quoted");
    json_unquote(buf_span(&again), &back);
    must(span_eq(buf_span(&text), buf_span(&back)), "quoted and unquoted");
    buf_free(&text);
    buf_free(&again);
    buf_free(&back);
}

static enum json_kind kind_of(const json_t *value)
{
    static const enum json_kind kinds[] = {
        [JSON_OBJECT] = JSON_KIND_OBJECT, [JSON_ARRAY] = JSON_KIND_ARRAY,
        [JSON_STRING] = JSON_KIND_STRING, [JSON_INTEGER] = JSON_KIND_NUMBER,
        [JSON_REAL] = JSON_KIND_NUMBER,   [JSON_TRUE] = JSON_KIND_TRUE,
        [JSON_FALSE] = JSON_KIND_FALSE,   [JSON_NULL] = JSON_KIND_NULL,
    };
    return value == NULL ? JSON_KIND_ABSENT : kinds[json_typeof(value)];
}

static void compare_fields(const json_t *object, struct span text)
{
    struct json_field fields[] = {{.name = "a"}, {.name = "type"}, {.name = ""}};
    must(json_fields(text, fields, 3) == 0, "an object");
    for (size_t i = 0; i < 3; i++) {
        const json_t *value = json_object_get(object, fields[i].name);
        must(fields[i].kind == kind_of(value), "the kind of a field");
        must(value == NULL || accepts(fields[i].raw, 1), "the text of a field");
        if (fields[i].kind == JSON_KIND_STRING) {
            compare_string(value, fields[i].raw);
        }
    }
}

/* It is the same for a text that comes in two pieces, the first of which lay elsewhere. */
static void compare_pieces(struct span text)
{
    const struct json_field asked[] = {{.name = "a"}, {.name = "type"}};
    struct json_field whole[] = {{.name = "a"}, {.name = "type"}}, pieces[2];
    struct json_coming *coming = NULL;
    size_t first = (unsigned char)text.ptr[text.len / 2] % text.len;
    char *before = mem_dup(span_of(text.ptr, first));
    json_coming_feed(&coming, asked, 2, span_of(before, first));
    free(before);
    must(json_coming_end(&coming, asked, 2, text, pieces) == json_fields(text, whole, 2),
         "fields in pieces");
    for (size_t i = 0; i < 2; i++) {
        must(whole[i].kind == pieces[i].kind && whole[i].raw.ptr == pieces[i].raw.ptr &&
                 whole[i].raw.len == pieces[i].raw.len,
             "each field in pieces");
    }
}

/* Any bytes at all may be quoted, whole or cut. */
static void quote(struct span bytes)
{
    struct buf quoted = {0};
    size_t most = (unsigned char)bytes.ptr[0];
    json_quote(bytes, &quoted);
    must(utf8_valid(buf_span(&quoted)) && accepts(buf_span(&quoted), 3), "any bytes quoted");
    quoted.len = 0;
    json_quote_cut(bytes, most, &quoted);
    must(utf8_valid(buf_span(&quoted)) && accepts(buf_span(&quoted), 3), "and cut");
    buf_free(&quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    json_error_t error;
    if (size == 0) {
        return 0;
    }
    quote(text);
    compare_pieces(text);
    bool ours = accepts(text, 0);
    must(ours == accepts(text, (uint32_t)size * 2 + 1), "whole or in pieces");
    if (memchr(data, 0, size) != NULL) { /* outside of strings jansson takes it for the end */
        must(!ours, "NUL");
        return 0;
    }
    if (!utf8_valid(text)) {
        must(json_fields(text, NULL, 0) <= 0, "any bytes scanned");
        return 0;
    }
    json_t *json = json_loadb(text.ptr, size,
                              JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    if (json != NULL && !ours) {
        must(is_deep(json, 0), "we refuse what jansson takes");
    } else if (json == NULL && ours) {
        must(tree_has_no_room(&error), "we take what jansson refuses");
    } else if (json != NULL && json_typeof(json) == JSON_OBJECT) {
        compare_fields(json, text);
    } else {
        must(json_fields(text, NULL, 0) < 0, "no object");
    }
    json_decref(json);
    return 0;
}
