/* SPDX-License-Identifier: MIT */
/* Syslog: whatever a message is, what it becomes is one JSON object that a batch takes; and the messages
 * of a stream are the same whole and byte by byte. */
#include "node/proto/json/walk.h"
#include "node/service/logs/syslog_frames.h"
#include "node/service/logs/syslog_message.h"
#include "store/base/buf.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MOST = 64 };

/* Gives it `piece` bytes at a time, and writes each message with an end to `out`. */
static void cut(const uint8_t *data, size_t size, size_t piece, struct buf *out)
{
    struct logs_frames frames = {.most = MESSAGE_MOST};
    struct buf in = {0};
    struct span rest = {0};
    for (size_t at = 0; at < size; at += piece) {
        buf_append(&in, span_of(data + at, piece < size - at ? piece : size - at));
        struct span message;
        rest = buf_span(&in);
        while (logs_frames_take(&frames, &rest, &message)) {
            if (message.len > 0) {
                buf_append(out, message);
                buf_append(out, SPAN("\n"));
            }
        }
        buf_consume(&in, in.len - rest.len);
        rest = buf_span(&in);
    }
    if (logs_frames_is_last_line(&frames, rest)) {
        buf_append(out, rest);
    }
    buf_free(&in);
}

static void compare(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, pieces = {0};
    cut(data, size, size, &whole);
    cut(data, size, 1, &pieces);
    if (!span_eq(buf_span(&whole), buf_span(&pieces))) {
        fprintf(stderr, "broken: %zu bytes whole, %zu in pieces\n", whole.len, pieces.len);
        abort();
    }
    buf_free(&whole);
    buf_free(&pieces);
}

/* The answer stays, and while there is none no message is whole. */
static void judge(const uint8_t *data, size_t size)
{
    int before = 0;
    for (size_t len = 0; len <= size && len <= 3 * (size_t)MESSAGE_MOST; len++) {
        struct logs_frames frames = {.most = MESSAGE_MOST};
        struct span rest = span_of(data, len), message;
        int now = logs_frames_are_http(rest, MESSAGE_MOST);
        bool whole = logs_frames_take(&frames, &rest, &message);
        if ((before != 0 && now != before) || (now == 0 && whole)) {
            fprintf(stderr, "broken: %d after %d of %zu bytes\n", now, before, len);
            abort();
        }
        before = now;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf entry = {0};
    size_t at;
    logs_syslog_print(span_of(data, size), 1700000000, &entry);
    if (!json_valid(buf_span(&entry), &at) || entry.ptr[0] != '{') {
        fprintf(stderr, "broken: from byte %zu on\n", at);
        abort();
    }
    buf_free(&entry);
    compare(data, size);
    judge(data, size);
    return 0;
}
