/* SPDX-License-Identifier: MIT */
#include "node/proto/json/scan_impl.h"
#include "node/proto/json/walk.h"

static struct span skip_any(struct span text, const char *set)
{
    while (text.len > 0 && text.ptr[0] != '\0' && strchr(set, text.ptr[0]) != NULL) {
        text = span_skip(text, 1);
    }
    return text;
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
    struct span raw = skip_any(token, " \t\r\n{,:");
    if (state == JSON_COLON) {
        *field = find_field(raw, fields, count);
    } else if (*field != NULL) {
        /* A value starts behind its colon: "{" may be its own. */
        (*field)->raw = skip_any(token, " \t\r\n:");
        (*field)->kind = json_kind_of((*field)->raw);
    }
}

static bool begins_object(struct span text)
{
    struct span rest = skip_any(text, " \t\r\n");
    return rest.len > 0 && rest.ptr[0] == '{';
}

/* `rest` is what the scan has left of a text that should be over. */
static int ended(int rc, struct span rest)
{
    return rc == 1 && skip_any(rest, " \t\r\n").len == 0 ? 0 : -1;
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
            key = skip_any(token, " \t\r\n{,");
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
