/* SPDX-License-Identifier: MIT */
#include "node/service/dispatch/mesh/message.h"

#include "store/wire.h"

enum {
    FRAME_HEAD = 1 + 8 + 4 + 4,
    MESH_IP = 16,
    ADDRESS = 2 + MESH_IP + 2, /* dispatch port, IP, the device's port */
};

static void put(struct buf *out, uint64_t value, size_t count)
{
    char *at = buf_room(out, count);
    for (size_t i = 0; i < count; i++) {
        at[i] = (char)(value >> (8 * (count - 1 - i)) & 0xff);
    }
    buf_grew(out, count);
}

/* The caller has made sure that `count` bytes are there. */
static uint64_t take(struct span *from, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        value = value << 8 | (unsigned char)from->ptr[i];
    }
    *from = span_skip(*from, count);
    return value;
}

static void take_ip(struct span *from, struct address *address)
{
    memcpy(address->ip, from->ptr, MESH_IP);
    *from = span_skip(*from, MESH_IP);
}

void dispatch_mesh_message_put_head(struct buf *out, const struct mesh_head *head)
{
    put(out, STORE_WIRE_TO, 1);
    put(out, head->epoch, 8);
    put(out, head->node.len, 1);
    buf_append(out, head->node);
}

int dispatch_mesh_message_read_head(struct span *message, struct mesh_head *head)
{
    if (message->len < 1 + 8 + 1) {
        return -1;
    }
    head->form = (unsigned)take(message, 1);
    head->epoch = take(message, 8);
    size_t len = (size_t)take(message, 1);
    if (len == 0 || len > message->len) {
        return -1;
    }
    head->node = span_of(message->ptr, len);
    *message = span_skip(*message, len);
    return 0;
}

bool dispatch_mesh_message_is_read(const struct mesh_head *head)
{
    return head->form >= STORE_WIRE_FROM && head->form <= STORE_WIRE_TO;
}

static bool has_address(enum mesh_type type)
{
    return type == MESH_OPEN || type == MESH_DATAGRAM || type == MESH_SEND;
}

/* Bytes of the body before those that are carried. */
static size_t fixed_size(enum mesh_type type)
{
    if (type == MESH_OPEN) {
        return 8 + ADDRESS;
    }
    if (type == MESH_CREDIT || type == MESH_WROTE) {
        return 4;
    }
    return type == MESH_DATAGRAM ? ADDRESS + MESH_IP : has_address(type) ? ADDRESS : 0;
}

static bool carries_bytes(enum mesh_type type)
{
    return type == MESH_DATA || type == MESH_WRITE || type == MESH_DATAGRAM || type == MESH_SEND;
}

void dispatch_mesh_message_put(struct buf *out, const struct mesh_message *frame)
{
    size_t fixed = fixed_size(frame->type);
    put(out, frame->type, 1);
    put(out, frame->leg, 8);
    put(out, frame->sequence, 4);
    put(out, fixed + frame->bytes.len, 4);
    if (frame->type == MESH_OPEN) {
        put(out, frame->device, 8);
    }
    if (has_address(frame->type)) {
        put(out, frame->port, 2);
        buf_append(out, span_of(frame->peer.ip, MESH_IP));
        put(out, frame->peer.port, 2);
        buf_append(out, span_of(frame->here.ip, frame->type == MESH_DATAGRAM ? MESH_IP : 0));
    } else if (fixed > 0) {
        put(out, frame->count, 4);
    }
    buf_append(out, frame->bytes);
}

/* Takes what all frames begin with. Above 0: `size` bytes follow in *rest; else as for the frame. */
static int next_known(struct span *rest, struct mesh_message *frame, size_t *size)
{
    while (rest->len > 0) {
        if (rest->len < FRAME_HEAD) {
            return -1;
        }
        uint64_t type = take(rest, 1);
        *frame = (struct mesh_message){.type = (enum mesh_type)type};
        frame->leg = take(rest, 8);
        frame->sequence = (uint32_t)take(rest, 4);
        *size = (size_t)take(rest, 4);
        if (*size > rest->len) {
            return -1;
        }
        if (type < MESH_TYPES) {
            return 1;
        }
        *rest = span_skip(*rest, *size); /* a later version has it */
    }
    return 0;
}

int dispatch_mesh_message_next(struct span *rest, struct mesh_message *frame)
{
    size_t size = 0;
    int known = next_known(rest, frame, &size);
    if (known <= 0) {
        return known;
    }
    size_t fixed = fixed_size(frame->type);
    if (size < fixed) {
        return -1;
    }
    struct span body = span_of(rest->ptr, size);
    *rest = span_skip(*rest, size);
    if (frame->type == MESH_OPEN) {
        frame->device = take(&body, 8);
    }
    if (has_address(frame->type)) {
        frame->port = (uint16_t)take(&body, 2);
        take_ip(&body, &frame->peer);
        frame->peer.port = (uint16_t)take(&body, 2);
        if (frame->type == MESH_DATAGRAM) {
            take_ip(&body, &frame->here);
        }
    } else if (fixed > 0) {
        frame->count = (uint32_t)take(&body, 4);
    }
    frame->bytes = carries_bytes(frame->type) ? body : span_of(NULL, 0);
    return 1;
}
