/* SPDX-License-Identifier: MIT */
#include "node/proto/json/walk.h"

#include "node/proto/json/scan_impl.h"

struct span json_trim(struct span text)
{
    while (text.len > 0 && json_is_space(text.ptr[0])) {
        text = span_skip(text, 1);
    }
    while (text.len > 0 && json_is_space(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

bool json_valid(struct span text, size_t *at)
{
    struct json_scan scan;
    size_t used = 0;
    json_scan_init(&scan);
    int rc = json_scan_feed(&scan, text, &used);
    *at = used;
    if (rc == 0) {
        return json_scan_end(&scan);
    }
    return rc > 0 && json_trim(span_skip(text, used)).len == 0;
}

enum json_kind json_kind_of(struct span raw)
{
    switch (raw.len > 0 ? raw.ptr[0] : '\0') {
    case '"':
        return JSON_KIND_STRING;
    case '{':
        return JSON_KIND_OBJECT;
    case '[':
        return JSON_KIND_ARRAY;
    case 't':
        return JSON_KIND_TRUE;
    case 'f':
        return JSON_KIND_FALSE;
    case 'n':
        return JSON_KIND_NULL;
    case '\0':
        return JSON_KIND_ABSENT;
    default:
        return JSON_KIND_NUMBER;
    }
}

struct span json_inside(struct span text)
{
    struct span whole = json_trim(text);
    return whole.len < 2 ? span_of(NULL, 0) : span_of(whole.ptr + 1, whole.len - 2);
}

static size_t string_len(struct span text)
{
    size_t i = 1;
    while (i < text.len && text.ptr[i] != '"') {
        size_t plain = json_plain_run(span_skip(text, i));
        i += plain > 0 ? plain : text.ptr[i] == '\\' ? 2 : 1;
    }
    return i < text.len ? i + 1 : text.len;
}

static size_t nested_len(struct span text)
{
    size_t depth = 0, i = 0;
    while (i < text.len) {
        char c = text.ptr[i];
        if (c == '"') {
            i += string_len(span_skip(text, i));
            continue;
        }
        depth += c == '{' || c == '[';
        i++;
        if ((c == '}' || c == ']') && --depth == 0) {
            break;
        }
    }
    return i;
}

static size_t word_len(struct span text)
{
    size_t i = 0;
    while (i < text.len && text.ptr[i] != ',' && !json_is_space(text.ptr[i])) {
        i++;
    }
    return i;
}

static size_t value_len(struct span text)
{
    if (text.ptr[0] == '"') {
        return string_len(text);
    }
    return text.ptr[0] == '{' || text.ptr[0] == '[' ? nested_len(text) : word_len(text);
}

/* Past white space and one kind of separator. */
static struct span skip_to(struct span rest, char separator)
{
    while (rest.len > 0 && (json_is_space(rest.ptr[0]) || rest.ptr[0] == separator)) {
        rest = span_skip(rest, 1);
    }
    return rest;
}

static bool next(struct span *rest, char separator, struct span *raw)
{
    *rest = skip_to(*rest, separator);
    if (rest->len == 0) {
        return false;
    }
    *raw = span_of(rest->ptr, value_len(*rest));
    *rest = span_skip(*rest, raw->len);
    return true;
}

bool json_next_element(struct span *rest, struct span *raw)
{
    return next(rest, ',', raw);
}

bool json_next_member(struct span *rest, struct json_member *member)
{
    if (!next(rest, ',', &member->name) || !next(rest, ':', &member->raw)) {
        return false;
    }
    member->kind = json_kind_of(member->raw);
    return true;
}

bool json_name_is(struct span raw, const char *name)
{
    struct span inside = span_of(raw.ptr + 1, raw.len - 2);
    if (inside.len > 0 && inside.ptr[0] != '\\' && inside.ptr[0] != name[0]) {
        return false; /* most often it is seen at once */
    }
    struct span want = span_str(name);
    while (inside.len > 0) {
        char utf8[4];
        size_t len = json_unescape(&inside, utf8);
        if (!span_starts_with(want, span_of(utf8, len))) {
            return false;
        }
        want = span_skip(want, len);
    }
    return want.len == 0;
}
