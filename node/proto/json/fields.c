/* SPDX-License-Identifier: MIT */
#include "node/proto/json/scan_impl.h"
#include "node/proto/json/walk.h"

static struct span skip_spaces(struct span text)
{
    while (text.len > 0 && json_is_space(text.ptr[0])) {
        text = span_skip(text, 1);
    }
    return text;
}

/* Past white space and the one mark that stands in it: `mark`, or `other`. */
static struct span skip_mark(struct span text, char mark, char other)
{
    text = skip_spaces(text);
    if (text.len > 0 && (text.ptr[0] == mark || text.ptr[0] == other)) {
        text = skip_spaces(span_skip(text, 1));
    }
    return text;
}

/* A key, behind the brace or the comma before it. */
static struct span key_of(struct span token)
{
    return skip_mark(token, '{', ',');
}

/* A value, behind its colon. */
static struct span value_of(struct span token)
{
    return skip_mark(token, ':', ':');
}

static struct json_field *find_field(struct span key, struct json_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (json_name_is(key, fields[i].name)) {
            return &fields[i];
        }
    }
    return NULL;
}

/* `token` ends with a key or a value of the top level; what stands before it is punctuation. */
static void on_token(uint8_t state, struct span token, struct json_field **field,
                     struct json_field *fields, size_t count)
{
    if (state == JSON_COLON) {
        *field = find_field(key_of(token), fields, count);
    } else if (*field != NULL) {
        (*field)->raw = value_of(token);
        (*field)->kind = json_kind_of((*field)->raw);
    }
}

static bool begins_object(struct span text)
{
    struct span rest = skip_spaces(text);
    return rest.len > 0 && rest.ptr[0] == '{';
}

/* `rest` is what the scan has left of a text that should be over. */
static int ended(int rc, struct span rest)
{
    return rc == 1 && skip_spaces(rest).len == 0 ? 0 : -1;
}

int json_fields(struct span text, struct json_field *fields, size_t count)
{
    struct json_scan scan;
    struct json_field *field = NULL;
    struct span rest = text;
    size_t used = 0;
    int rc;
    for (size_t i = 0; i < count; i++) {
        fields[i].kind = JSON_KIND_ABSENT;
        fields[i].raw = (struct span){NULL, 0};
    }
    if (!begins_object(text)) {
        return -1;
    }
    json_scan_init(&scan);
    while ((rc = json_scan_advance(&scan, rest, 1, &used)) == 2) {
        on_token(scan.state, span_of(rest.ptr, used), &field, fields, count);
        rest = span_skip(rest, used);
    }
    return ended(rc, span_skip(rest, used));
}

int json_set(struct span text, const char *name, struct span value, struct buf *out)
{
    struct json_scan scan;
    struct span rest = text, key = {NULL, 0};
    size_t used = 0;
    int rc;
    if (!begins_object(text)) {
        return -1;
    }
    buf_append(out, SPAN("{"));
    json_quote(span_str(name), out);
    buf_append(out, SPAN(":"));
    buf_append(out, value);
    json_scan_init(&scan);
    while ((rc = json_scan_advance(&scan, rest, 1, &used)) == 2) {
        struct span token = span_of(rest.ptr, used);
        if (scan.state == JSON_COLON) {
            key = key_of(token);
        } else if (!json_name_is(key, name)) {
            buf_append(out, SPAN(","));
            buf_append(out, key);
            buf_append(out, token);
        }
        rest = span_skip(rest, used);
    }
    buf_append(out, SPAN("}"));
    return ended(rc, span_skip(rest, used));
}
