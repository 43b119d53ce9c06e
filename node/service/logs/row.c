/* SPDX-License-Identifier: MIT */
#include "node/service/logs/row.h"

#include "node/service/logs/entry.h"
#include "store/base/decimal.h"
#include "store/base/utf8.h"
#include "store/postgres/row.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define REPLACEMENT SPAN("\xef\xbf\xbd") /* U+FFFD */

enum {
    LOGS_ROW_COLUMNS = 9,
    LOGS_ROW_NAME_LIMIT = 512, /* bytes of level, user and room: they stand in indexes */
    PLAIN_DIGITS = 14,         /* of a timestamp in milliseconds: up to the year 5138 */
    NUMBER_LIMIT = 400, /* bytes of a number, and its exponent: jsonb takes no more than numeric */
};

struct work {
    struct span raw[LOGS_FIELDS];
    struct buf further; /* members, each with a comma before it */
    struct buf scratch;
    bool bad; /* something does not stand in its column as it came */
};

/* ------------------------------------------------------------------------------------ text */

/* Replaces NUL and what is no UTF-8; says whether there was any. */
static bool clean(struct span text, struct buf *out)
{
    struct utf8 state = {0};
    size_t whole = 0; /* bytes up to here are characters, written */
    bool dirty = false;
    for (size_t i = 0; i < text.len; i++) {
        bool good = text.ptr[i] != '\0' && utf8_feed(&state, span_of(&text.ptr[i], 1));
        if (good && utf8_whole(&state)) {
            buf_append(out, span_of(text.ptr + whole, i + 1 - whole));
            whole = i + 1;
        } else if (!good) {
            buf_append(out, REPLACEMENT);
            dirty = true;
            i = i > whole && text.ptr[i] != '\0' ? i - 1 : i; /* it may begin a character itself */
            whole = i + 1;
            state = (struct utf8){0};
        }
    }
    if (whole < text.len) {
        buf_append(out, REPLACEMENT);
        dirty = true;
    }
    return dirty;
}

/* What the member says as text, in work->scratch: the string, or other values as they are written.
 */
static struct span text_of(struct work *work, enum logs_field field)
{
    struct span raw = work->raw[field];
    enum json_kind kind = json_kind_of(raw);
    work->scratch.len = 0;
    if (kind != JSON_KIND_STRING) {
        return raw;
    }
    if (memchr(raw.ptr, '\\', raw.len) == NULL) {
        return span_of(raw.ptr + 1, raw.len - 2);
    }
    struct buf plain = {0};
    json_unquote(raw, &plain);
    work->bad |= clean(buf_span(&plain), &work->scratch);
    buf_free(&plain);
    /* json_unquote puts U+FFFD where half a surrogate pair stood. */
    struct span mark = REPLACEMENT, text = buf_span(&work->scratch);
    work->bad |= memmem(raw.ptr, raw.len, "\\u", 2) != NULL && text.len > 0 &&
                 memmem(text.ptr, text.len, mark.ptr, mark.len) != NULL;
    return text;
}

static bool is_nothing(const struct work *work, enum logs_field field)
{
    enum json_kind kind = json_kind_of(work->raw[field]);
    return kind == JSON_KIND_ABSENT || kind == JSON_KIND_NULL;
}

static void put_member(struct work *work, enum logs_field field, size_t most, struct buf *row)
{
    if (is_nothing(work, field)) {
        pg_put_null(row);
        return;
    }
    struct span text = text_of(work, field);
    size_t len = utf8_cut(text, most).len;
    work->bad |= len < text.len;
    pg_put_text(row, span_of(text.ptr, len));
}

/* ------------------------------------------------------------------------------------ numbers */

/* A number or a string that is one. false when it is neither, or not finite. */
static bool number_of(struct span raw, double *number)
{
    char text[64];
    if (json_kind_of(raw) == JSON_KIND_STRING && raw.len >= 2) {
        raw = span_trim(span_of(raw.ptr + 1, raw.len - 2));
    } else if (json_kind_of(raw) != JSON_KIND_NUMBER) {
        return false;
    }
    if (raw.len == 0 || raw.len >= sizeof(text) ||
        memchr("+-.0123456789", raw.ptr[0], 13) == NULL) {
        return false;
    }
    memcpy(text, raw.ptr, raw.len);
    text[raw.len] = '\0';
    char *end;
    *number = strtod(text, &end);
    return *end == '\0' && isfinite(*number) && strpbrk(text, "xXnN") == NULL;
}

/* Digits alone, as nearly all timestamps are, and few enough that a double holds them. */
static bool plain_ms(struct span raw, int64_t *us)
{
    if (raw.len >= 2 && raw.ptr[0] == '"') {
        raw = span_of(raw.ptr + 1, raw.len - 2);
    }
    uint64_t ms = 0;
    bool plain = raw.len <= PLAIN_DIGITS && decimal_read(raw, UINT64_MAX, &ms);
    *us = (int64_t)ms * 1000;
    return plain;
}

/* Milliseconds since 1970 as microseconds, where PostgreSQL has such a time. */
static bool time_of(struct span raw, int64_t *us)
{
    double ms;
    if (plain_ms(raw, us)) {
        return true;
    }
    if (!number_of(raw, &ms) || ms * 1000 < (double)PG_TIME_LEAST ||
        ms * 1000 >= (double)PG_TIME_MOST) {
        return false;
    }
    *us = llround(ms * 1000);
    return *us < PG_TIME_MOST;
}

bool logs_row_place(struct span payload, int64_t *time_us, uint64_t *seq)
{
    struct json_field fields[] = {
        {.name = "serverTime"}, {.name = "seqNumber"}, {.name = "timestamp"}};
    double number;
    int64_t us;
    if (json_fields(payload, fields, 3) != 0) {
        return false;
    }
    bool timed = time_of(fields[0].raw, &us) || time_of(fields[2].raw, &us);
    *time_us = timed ? us : *time_us;
    bool numbered =
        number_of(fields[1].raw, &number) && number >= 0 && number <= 9007199254740992.0;
    *seq = numbered ? (uint64_t)number : *seq;
    return timed && numbered;
}

/* --------------------------------------------------------------------------------- further keys */

static unsigned hex4(const char *at)
{
    char text[5] = {at[0], at[1], at[2], at[3], '\0'};
    return (unsigned)strtoul(text, NULL, 16);
}

/* Copies the escape at the front of `text`, or U+FFFD for one that jsonb does not take: NUL, half a
 * surrogate pair. Returns its length. */
static size_t copy_escape(struct work *work, struct span text, struct buf *out)
{
    if (text.ptr[1] != 'u') {
        buf_append(out, span_of(text.ptr, 2));
        return 2;
    }
    unsigned unit = hex4(text.ptr + 2);
    bool pair = unit >= 0xd800 && unit < 0xdc00 && text.len >= 12 && text.ptr[6] == '\\' &&
                text.ptr[7] == 'u' && hex4(text.ptr + 8) >= 0xdc00 && hex4(text.ptr + 8) < 0xe000;
    bool bad = !pair && (unit == 0 || (unit >= 0xd800 && unit < 0xe000));
    size_t len = pair ? 12 : 6;
    buf_append(out, bad ? SPAN("\\ufffd") : span_of(text.ptr, len));
    work->bad |= bad;
    return len;
}

static size_t copy_string(struct work *work, struct span text, struct buf *out)
{
    size_t i = 1;
    buf_append(out, SPAN("\""));
    while (i < text.len && text.ptr[i] != '"') {
        size_t begin = i;
        while (i < text.len && text.ptr[i] != '"' && text.ptr[i] != '\\') {
            i++;
        }
        buf_append(out, span_of(text.ptr + begin, i - begin));
        if (i < text.len && text.ptr[i] == '\\') {
            i += copy_escape(work, span_skip(text, i), out);
        }
    }
    buf_append(out, SPAN("\""));
    return i + 1;
}

/* A number that jsonb cannot hold becomes a string. */
static size_t copy_number(struct work *work, struct span text, struct buf *out)
{
    size_t len = 0, exponent_at = 0;
    while (len < text.len && strchr("+-.eE0123456789", text.ptr[len]) != NULL &&
           text.ptr[len] != '\0') {
        exponent_at = text.ptr[len] == 'e' || text.ptr[len] == 'E' ? len + 1 : exponent_at;
        len++;
    }
    char digits[8];
    snprintf(digits, sizeof(digits), "%.*s", (int)(exponent_at > 0 ? len - exponent_at : 0),
             text.ptr + exponent_at);
    bool bad = len > NUMBER_LIMIT || labs(strtol(digits, NULL, 10)) > NUMBER_LIMIT;
    buf_append(out, bad ? SPAN("\"") : SPAN(""));
    buf_append(out, span_of(text.ptr, len));
    buf_append(out, bad ? SPAN("\"") : SPAN(""));
    work->bad |= bad;
    return len;
}

static void copy_json(struct work *work, struct span text, struct buf *out)
{
    size_t i = 0;
    while (i < text.len) {
        char c = text.ptr[i];
        if (c == '"') {
            i += copy_string(work, span_skip(text, i), out);
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            i += copy_number(work, span_skip(text, i), out);
        } else {
            buf_append(out, span_of(&text.ptr[i++], 1));
        }
    }
}

static void put_extra(struct work *work, struct span payload, struct buf *row)
{
    if (work->bad) {
        buf_append(&work->further, SPAN(",\"_raw\":"));
        json_quote(payload, &work->further);
    }
    if (work->further.len == 0) {
        pg_put_null(row);
        return;
    }
    work->further.ptr[0] = '{'; /* in place of the first comma */
    buf_append(&work->further, SPAN("}"));
    pg_put_jsonb(row, buf_span(&work->further));
}

/* ------------------------------------------------------------------------------------ the row */

static void put_row(struct work *work, const struct sink_item *item, struct span payload,
                    struct buf *row)
{
    int64_t client_us = 0;
    bool timed = time_of(work->raw[LOGS_TIMESTAMP], &client_us);
    work->bad |= !timed && !is_nothing(work, LOGS_TIMESTAMP);
    pg_row_begin(row, LOGS_ROW_COLUMNS);
    pg_put_time(row, item->time_us);
    pg_put_bigint(row, (int64_t)item->seq);
    if (timed) {
        pg_put_time(row, client_us);
    } else {
        pg_put_null(row);
    }
    size_t begin = row->len;
    put_member(work, LOGS_LEVEL, LOGS_ROW_NAME_LIMIT, row);
    for (size_t i = begin + 4; i < row->len; i++) {
        char c = row->ptr[i];
        row->ptr[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    put_member(work, LOGS_MSG, SIZE_MAX, row);
    put_member(work, LOGS_USER, LOGS_ROW_NAME_LIMIT, row);
    if (!is_nothing(work, LOGS_ROOM) && logs_is_no_room(text_of(work, LOGS_ROOM))) {
        pg_put_null(row);
    } else {
        put_member(work, LOGS_ROOM, LOGS_ROW_NAME_LIMIT, row);
    }
    put_member(work, LOGS_TEXT, SIZE_MAX, row);
    put_extra(work, payload, row);
}

bool logs_row(void *arg, const struct sink_item *item, struct buf *row, const char **reason)
{
    struct work work = {0};
    struct buf cleaned = {0};
    struct span payload = item->payload;
    size_t at;
    (void)arg;
    if (!utf8_valid(payload) || memchr(payload.ptr, '\0', payload.len) != NULL) {
        work.bad = clean(payload, &cleaned);
        payload = buf_span(&cleaned);
    }
    bool good = payload.len > 0 && payload.ptr[0] == '{' && json_valid(payload, &at);
    if (good) {
        struct span rest = json_inside(payload);
        struct json_member member;
        while (json_next_member(&rest, &member)) {
            enum logs_field field = logs_field_of(&member);
            if (field < LOGS_FIELDS) {
                work.raw[field] = member.raw;
                continue;
            }
            buf_append(&work.further, SPAN(","));
            copy_json(&work, member.name, &work.further);
            buf_append(&work.further, SPAN(":"));
            copy_json(&work, member.raw, &work.further);
        }
        put_row(&work, item, payload, row);
    } else {
        *reason = "not a JSON object";
    }
    buf_free(&work.further);
    buf_free(&work.scratch);
    buf_free(&cleaned);
    return good;
}
