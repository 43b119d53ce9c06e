/* SPDX-License-Identifier: MIT */
#include "node/service/dispatch/frame.h"

enum { ID_SIZE = 8, LENGTH_SIZE = 4 };

static uint64_t get(struct span bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        value = value << 8 | (unsigned char)bytes.ptr[i];
    }
    return value;
}

static size_t put(char *out, uint64_t value, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (char)(value >> (8 * (count - 1 - i)) & 0xff);
    }
    return count;
}

int dispatch_frame_read(struct span message, struct dispatch_frame *out)
{
    if (message.len == 0) {
        return DISPATCH_BROKEN;
    }
    unsigned type = (unsigned char)message.ptr[0];
    struct span rest = span_skip(message, 1);
    const char *end = rest.len > 0 ? memchr(rest.ptr, '\0', rest.len) : NULL;
    if (type > DISPATCH_CLOSE) {
        return DISPATCH_UNKNOWN_TYPE;
    }
    if (end == NULL || (size_t)(end - rest.ptr) > DISPATCH_IP_MOST) {
        return DISPATCH_BROKEN;
    }
    out->type = (enum dispatch_type)type;
    out->ip = span_of(rest.ptr, (size_t)(end - rest.ptr));
    rest = span_skip(rest, out->ip.len + 1);
    if (rest.len < ID_SIZE + LENGTH_SIZE) {
        return DISPATCH_BROKEN;
    }
    out->id_or_port = get(rest, ID_SIZE);
    out->data = span_skip(rest, ID_SIZE + LENGTH_SIZE);
    return out->data.len == get(span_skip(rest, ID_SIZE), LENGTH_SIZE) ? 0 : DISPATCH_BROKEN;
}

size_t dispatch_frame_head(const struct dispatch_frame *frame, char out[static DISPATCH_HEAD_MOST])
{
    size_t ip = frame->ip.len < DISPATCH_IP_MOST ? frame->ip.len : DISPATCH_IP_MOST;
    size_t at = put(out, frame->type, 1);
    if (ip > 0) {
        memcpy(out + at, frame->ip.ptr, ip);
    }
    at += ip;
    at += put(out + at, 0, 1);
    at += put(out + at, frame->id_or_port, ID_SIZE);
    return at + put(out + at, frame->data.len, LENGTH_SIZE);
}
