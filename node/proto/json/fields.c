/* SPDX-License-Identifier: MIT */
#include "node/proto/json/scan_impl.h"
#include "node/proto/json/walk.h"
#include "store/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* A text that may come in over several reads. */
struct fields_scan {
    struct json_scan scan;
    struct json_field *fields; /* borrowed */
    size_t count;
    struct json_field *field; /* whose value is under way; NULL: one that nobody asked for */
    size_t from, used;        /* of the text: where that value's token begins; what was looked at */
    int rc;                   /* as json_scan_feed's; 0 at first */
};

struct json_coming {
    struct fields_scan scan;
    struct json_field fields[];
};

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
static void on_token(struct fields_scan *scan, struct span text)
{
    struct span token = span_of(text.ptr + scan->from, scan->used - scan->from);
    scan->from = scan->used;
    if (scan->scan.state == JSON_COLON) {
        scan->field = find_field(key_of(token), scan->fields, scan->count);
    } else if (scan->field != NULL) {
        struct span raw = value_of(token);
        scan->field->kind = json_kind_of(raw);
        scan->field->raw.len = raw.len;
        scan->field->at = (size_t)(raw.ptr - text.ptr);
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

static void begin(struct fields_scan *scan, struct json_field *fields, size_t count)
{
    *scan = (struct fields_scan){.fields = fields, .count = count};
    json_scan_init(&scan->scan);
    for (size_t i = 0; i < count; i++) {
        fields[i].kind = JSON_KIND_ABSENT;
        fields[i].raw = (struct span){NULL, 0};
    }
}

/* `text`: all of it that is there so far, wherever it lies now. */
static void feed(struct fields_scan *scan, struct span text)
{
    size_t used = 0;
    if (json_scan_idle(&scan->scan)) {
        scan->used = text.len - skip_spaces(text).len;
        scan->rc = scan->used == text.len || text.ptr[scan->used] == '{' ? 0 : -1;
    }
    while (scan->rc == 0 || scan->rc == 2) {
        scan->rc = json_scan_advance(&scan->scan, span_skip(text, scan->used), 1, &used);
        scan->used += used;
        if (scan->rc == 2) {
            on_token(scan, text);
        } else {
            break;
        }
    }
}

/* `text` is all there is: only now the fields are set. */
static int end(struct fields_scan *scan, struct span text)
{
    feed(scan, text);
    for (size_t i = 0; i < scan->count; i++) {
        if (scan->fields[i].kind != JSON_KIND_ABSENT) {
            scan->fields[i].raw.ptr = text.ptr + scan->fields[i].at;
        }
    }
    return ended(scan->rc, span_skip(text, scan->used));
}

int json_fields(struct span text, struct json_field *fields, size_t count)
{
    struct fields_scan scan;
    begin(&scan, fields, count);
    return end(&scan, text);
}

void json_coming_feed(struct json_coming **coming, const struct json_field *asked, size_t count,
                      struct span so_far)
{
    if (*coming == NULL) {
        *coming = mem_alloc(sizeof(**coming) + count * sizeof(*asked));
        memcpy((*coming)->fields, asked, count * sizeof(*asked));
        begin(&(*coming)->scan, (*coming)->fields, count);
    }
    feed(&(*coming)->scan, so_far);
}

int json_coming_end(struct json_coming **coming, const struct json_field *asked, size_t count,
                    struct span text, struct json_field *fields)
{
    if (*coming == NULL) {
        memcpy(fields, asked, count * sizeof(*asked));
        return json_fields(text, fields, count);
    }
    int rc = end(&(*coming)->scan, text);
    memcpy(fields, (*coming)->fields, count * sizeof(*asked));
    json_coming_free(coming);
    return rc;
}

void json_coming_free(struct json_coming **coming)
{
    free(*coming);
    *coming = NULL;
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
