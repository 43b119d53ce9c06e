/* SPDX-License-Identifier: MIT */
/* Log entries: what /logs/add takes must be what the stream may keep (one valid object each, the
 * room first), and each of them, and any bytes at all, must come out of logs_row as a row whose
 * binary form holds together and whose texts PostgreSQL takes: UTF-8 without NUL. */
#include "node/service/logs/intake.h"
#include "node/service/logs/protobuf.h"
#include "node/service/logs/row.h"
#include "node/service/logs/words.h"
#include "store/base/utf8.h"
#include "store/stream_call.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COLUMNS = 9, EXTRA = 8, FIRST_TEXT = 3, ENTRY_LIMIT = 32 * 1024, BODY_LIMIT = 256 * 1024 };

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static uint32_t number(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void check_row(struct span row)
{
    must(row.len > 2 && row.ptr[0] == 0 && row.ptr[1] == COLUMNS, "columns");
    row = span_skip(row, 2);
    for (int column = 0; column < COLUMNS; column++) {
        must(row.len >= 4, "length");
        uint32_t len = number(row.ptr);
        row = span_skip(row, 4);
        if (len == UINT32_MAX) {
            continue;
        }
        must(len <= row.len, "value");
        struct span value = span_of(row.ptr, len);
        size_t at;
        if (column == EXTRA) {
            must(len > 0 && value.ptr[0] == 1, "jsonb version");
            value = span_skip(value, 1);
            must(json_valid(value, &at), "extra is JSON");
        }
        if (column >= FIRST_TEXT) {
            must(utf8_valid(value), "UTF-8");
            must(value.len == 0 || memchr(value.ptr, '\0', value.len) == NULL, "NUL");
        }
        row = span_skip(row, len);
    }
    must(row.len == 0, "end");
}

/* True when it was made a row. */
static bool try_row(struct span payload)
{
    struct buf row = {0};
    const char *reason = NULL;
    struct sink_item item = {1795251004896644, 1, 1795251004896644, payload};
    bool good = logs_row(NULL, &item, &row, &reason);
    must(good == (reason == NULL), "a reason, or a row");
    if (good) {
        check_row(buf_span(&row));
    }
    buf_free(&row);
    return good;
}

static void try_batch_of(enum logs_shape binary, struct span type, struct span coding,
                         struct span bytes)
{
    struct logs_batch batch = {
        .entry_limit = ENTRY_LIMIT, .lanes = 4, .keys = {.room = "app,job", .user = "host"}};
    const struct logs_body body = {type, coding, bytes, BODY_LIMIT, binary};
    char error[160];
    size_t at;
    if (logs_intake_read(&batch, &body, error, sizeof(error)) == LOGS_GOOD) {
        struct span rest =
            batch.items != NULL ? span_of(batch.items->data, batch.items->len) : span_of(NULL, 0);
        struct stream_item item;
        size_t count = 0;
        for (; stream_item_next(&rest, &item); count++) {
            must(json_valid(item.payload, &at), "what is kept is JSON");
            must(span_starts_with(item.payload, SPAN("{\"room\":")), "the room first");
            must(item.lane < 4, "lane");
            must(try_row(item.payload), "what was taken becomes a row");
        }
        must(rest.len == 0 && count == batch.count, "all of it is items");
    }
    logs_batch_free(&batch);
}

static void try_batch(struct span type, struct span coding, struct span bytes)
{
    try_batch_of(LOGS_SHAPE_ENTRY, type, coding, bytes);
}

/* What a sender of protobuf is told. */
static void answer(struct span text)
{
    struct buf out = {0};
    logs_protobuf_response(0, text, &out);
    must(out.len == 0, "nothing was refused");
    logs_protobuf_response(text.len + 1, text, &out);
    must(out.len > text.len, "how many, and why");
    out.len = 0;
    logs_protobuf_status(text, &out);
    must(out.len > text.len, "why");
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    int64_t time_us = 0;
    uint64_t seq = 0;
    try_batch(SPAN("application/json"), SPAN(""), text);
    try_batch(SPAN("application/x-ndjson"), SPAN(""), text);
    try_batch(SPAN("text/plain"), SPAN(""), text);
    try_batch(SPAN("application/x-www-form-urlencoded"), SPAN(""), text);
    try_batch(SPAN(""), SPAN("gzip"), text);
    try_batch(SPAN(""), SPAN("deflate"), text);
    try_batch(SPAN(""), SPAN("zstd"), text);
    try_batch(SPAN(""), SPAN("snappy"), text);
    try_batch_of(LOGS_SHAPE_OTLP, SPAN("application/x-protobuf"), SPAN(""), text);
    try_batch_of(LOGS_SHAPE_LOKI, SPAN("application/x-protobuf"), SPAN("identity"), text);
    try_batch(SPAN(""), SPAN("br"), text);
    try_batch(SPAN("application/x-protobuf"), SPAN(""), text);
    answer(text);
    if (logs_word_time(text, &time_us)) {
        must(time_us < INT64_C(1) << 62, "a time");
    }
    try_row(text);
    if (logs_row_place(text, &time_us, &seq)) {
        must(seq <= UINT64_C(1) << 53, "seq");
    }
    return 0;
}
