/* SPDX-License-Identifier: MIT */
/* connect -> (writable) request -> (readable) answer -> frames; without WebSocket: connect -> bytes.
 *
 * All clients read into one buffer; a client owns memory only while a frame is half-read. */
#include "tests/bench/load/client.h"

#include "store/base/entropy.h"
#include "store/base/mem.h"
#include "tests/bench/load/fail.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/tcp.h>

enum {
    READ_SIZE = 1 << 18,
    HANDSHAKES_AT_ONCE = 128,
    ANSWER_LIMIT = 4096,
    FRAME_LIMIT = 1 << 24,
    OP_TEXT = 1,
    OP_BINARY = 2,
    OP_CLOSE = 8,
    OP_PING = 9,
    OP_PONG = 10,
};

/* The pair of RFC 6455, 1.3: the generator need not hash. */
#define WS_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static char read_buffer[READ_SIZE];
static size_t opened;

struct in_addr client_source(uint32_t index)
{
    return (struct in_addr){htonl(INADDR_LOOPBACK + 1 + index / CLIENTS_PER_ADDRESS)};
}

static void set_option(int fd, int level, int name, int value)
{
    must(setsockopt(fd, level, name, &value, sizeof(value)) == 0, "setsockopt");
}

static void flush(struct client *client)
{
    ssize_t n = send(client->handler.fd, client->out.ptr, client->out.len, MSG_NOSIGNAL);
    must(n >= 0 || errno == EAGAIN, "send");
    if (n > 0) {
        buf_consume(&client->out, (size_t)n);
    }
    if (client->out.len == 0) {
        loop_change(client->loop, &client->handler, EPOLLIN);
    }
}

void client_send_bytes(struct client *client, struct span bytes)
{
    ssize_t n = 0;
    if (client->out.len == 0) {
        n = send(client->handler.fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        must(n >= 0 || errno == EAGAIN, "send");
        n = n < 0 ? 0 : n;
    }
    if ((size_t)n < bytes.len) {
        buf_append(&client->out, span_skip(bytes, (size_t)n));
        loop_change(client->loop, &client->handler, EPOLLIN | EPOLLOUT);
    }
}

static size_t put_header(uint8_t *at, uint8_t opcode, size_t len)
{
    at[0] = 0x80 | opcode;
    if (len < 126) {
        at[1] = 0x80 | (uint8_t)len;
        return 2;
    }
    if (len < 65536) {
        uint16_t big = htobe16((uint16_t)len);
        at[1] = 0x80 | 126;
        memcpy(at + 2, &big, sizeof(big));
        return 4;
    }
    uint64_t big = htobe64(len);
    at[1] = 0x80 | 127;
    memcpy(at + 2, &big, sizeof(big));
    return 10;
}

static void send_frame(struct client *client, uint8_t opcode, struct span payload)
{
    static struct buf scratch;
    uint32_t mask;
    entropy(&mask, sizeof(mask));
    scratch.len = 0;
    uint8_t *at = (uint8_t *)buf_room(&scratch, payload.len + 14);
    size_t head = put_header(at, opcode, payload.len);
    memcpy(at + head, &mask, sizeof(mask));
    at += head + sizeof(mask);
    for (size_t i = 0; i < payload.len; i++) {
        at[i] = (uint8_t)payload.ptr[i] ^ (uint8_t)(mask >> (8 * (i & 3)));
    }
    buf_grew(&scratch, head + sizeof(mask) + payload.len);
    client_send_bytes(client, buf_span(&scratch));
}

void client_send(struct client *client, struct span text)
{
    send_frame(client, OP_TEXT, text);
}

/* below 0: wrong; 0: more needed; above 0: the bytes of the frame */
static int64_t parse_frame(struct span in, struct frame *frame)
{
    const uint8_t *at = (const uint8_t *)in.ptr;
    if (in.len < 2) {
        return 0;
    }
    uint64_t len = at[1];
    size_t head = len < 126 ? 2 : len == 126 ? 4 : 10;
    if ((at[0] & 0xb0) != 0x80 || len > 127) {
        return -1; /* a fragment, an unknown reserved bit, or a mask */
    }
    if (in.len < head) {
        return 0;
    }
    if (len == 126) {
        len = (uint64_t)at[2] << 8 | at[3];
    } else if (len == 127) {
        uint64_t big;
        memcpy(&big, at + 2, sizeof(big));
        len = be64toh(big);
    }
    if (len > FRAME_LIMIT) {
        return -1;
    }
    *frame = (struct frame){at[0] & 0x0f, (at[0] & 0x40) != 0, span_of(at + head, len)};
    return in.len - head < len ? 0 : (int64_t)(head + len);
}

/* A client that is let go, or the end of the program. */
static bool let_go(struct client *client)
{
    if (client->kind->gone == NULL) {
        return false;
    }
    loop_remove(client->loop, &client->handler);
    close(client->handler.fd);
    client->handler.fd = -1;
    buf_free(&client->out);
    client->kind->gone(client);
    return true;
}

static void on_close_frame(struct client *client, struct span payload)
{
    if (let_go(client)) {
        return;
    }
    unsigned code = payload.len < 2 ? 0 : (uint8_t)payload.ptr[0] << 8 | (uint8_t)payload.ptr[1];
    struct span reason = span_skip(payload, payload.len < 2 ? payload.len : 2);
    fail("the server closed client %u: %u %.*s", client->index, code, SPAN_ARG(reason));
}

static void handle_frame(struct client *client, const struct frame *frame)
{
    switch (frame->opcode) {
    case OP_TEXT:
    case OP_BINARY:
        client->kind->frame(client, frame);
        break;
    case OP_PING:
        send_frame(client, OP_PONG, frame->payload);
        break;
    case OP_PONG:
        break;
    case OP_CLOSE:
        on_close_frame(client, frame->payload);
        break;
    default:
        fail("client %u got a frame of kind %u", client->index, frame->opcode);
    }
}

/* Handles the whole frames of `in`; returns the bytes it took. */
static size_t handle_frames(struct client *client, struct span in)
{
    size_t taken = 0;
    struct frame frame;
    int64_t n;
    while ((n = parse_frame(span_skip(in, taken), &frame)) > 0) {
        handle_frame(client, &frame);
        taken += (size_t)n;
        if (client->handler.fd < 0) {
            return in.len;
        }
    }
    if (n < 0) {
        fail("client %u got a broken frame", client->index);
    }
    return taken;
}

static void note_open(struct client *client)
{
    client->state = CLIENT_OPEN;
    opened++;
    if (client->kind->open != NULL) {
        client->kind->open(client);
    }
}

/* Returns the bytes of the answer, 0 when it is not yet whole. */
static size_t handle_answer(struct client *client, struct span in)
{
    const char *end = in.len > 0 ? memmem(in.ptr, in.len, "\r\n\r\n", 4) : NULL;
    if (end == NULL) {
        if (in.len > ANSWER_LIMIT) {
            fail("client %u got an endless answer", client->index);
        }
        return 0;
    }
    size_t len = (size_t)(end - in.ptr) + 4;
    struct span answer = span_of(in.ptr, len);
    bool deflate = memmem(in.ptr, len, "permessage-deflate", 18) != NULL;
    if (!span_starts_with(answer, SPAN("HTTP/1.1 101")) ||
        memmem(in.ptr, len, WS_ACCEPT, sizeof(WS_ACCEPT) - 1) == NULL ||
        deflate != client->kind->deflate) {
        fail("client %u was answered:\n%.*s", client->index, SPAN_ARG(in));
    }
    note_open(client);
    return len;
}

static size_t handle_bytes(struct client *client, struct span in)
{
    size_t taken = 0;
    if (client->kind->bytes != NULL) {
        return client->kind->bytes(client, in);
    }
    if (client->state == CLIENT_UPGRADING) {
        taken = handle_answer(client, in);
    }
    if (client->state == CLIENT_OPEN) {
        taken += handle_frames(client, span_skip(in, taken));
    }
    return taken;
}

static void on_readable(struct client *client)
{
    ssize_t n = recv(client->handler.fd, read_buffer, READ_SIZE, 0);
    if ((n == 0 || (n < 0 && errno != EAGAIN)) && let_go(client)) {
        return;
    }
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        fail("client %u lost its connection: %s", client->index, n == 0 ? "end" : strerror(errno));
    }
    if (n < 0) {
        return;
    }
    struct span in = span_of(read_buffer, (size_t)n);
    if (client->in.len > 0) {
        buf_append(&client->in, in);
        buf_consume(&client->in, handle_bytes(client, buf_span(&client->in)));
        if (client->in.len == 0) {
            buf_free(&client->in);
        }
        return;
    }
    size_t taken = handle_bytes(client, in);
    if (taken < in.len) {
        buf_append(&client->in, span_skip(in, taken));
    }
}

static void send_request(struct client *client)
{
    static struct buf request;
    request.len = 0;
    buf_printf(&request,
               "GET %s HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Key: " WS_KEY "\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
               client->kind->path,
               client->kind->deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
    client->state = CLIENT_UPGRADING;
    loop_change(client->loop, &client->handler, EPOLLIN);
    client_send_bytes(client, buf_span(&request));
}

static void on_connected(struct client *client)
{
    int error = 0;
    socklen_t size = sizeof(error);
    must(getsockopt(client->handler.fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0, "getsockopt");
    errno = error;
    must(error == 0, "connect");
    if (client->kind->bytes == NULL) {
        send_request(client);
        return;
    }
    loop_change(client->loop, &client->handler, EPOLLIN);
    note_open(client);
}

static void on_ready(struct handler *handler, uint32_t events)
{
    struct client *client = CONTAINER_OF(handler, struct client, handler);
    if (client->state == CLIENT_CONNECTING) {
        on_connected(client);
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        flush(client);
    }
    if ((events & ~(uint32_t)EPOLLOUT) != 0) {
        on_readable(client);
    }
}

void client_init(struct client *client, const struct client_kind *kind, struct sockaddr_in node,
                 struct in_addr source, uint32_t index)
{
    *client = (struct client){.handler = {.fd = -1, .ready = on_ready},
                              .kind = kind,
                              .node = node,
                              .source = source,
                              .index = index};
}

static void client_open(struct loop *loop, struct client *client)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr = client->source};
    must(bind(fd, (struct sockaddr *)&source, sizeof(source)) == 0, "bind");
    int status = connect(fd, (struct sockaddr *)&client->node, sizeof(client->node));
    must(status == 0 || errno == EINPROGRESS, "connect");
    client->loop = loop;
    client->handler.fd = fd;
    client->state = CLIENT_CONNECTING;
    loop_add(loop, &client->handler, EPOLLOUT);
}

void client_open_all(struct loop *loop, struct client *clients, size_t count)
{
    size_t before = opened;
    size_t started = 0;
    while (opened - before < count) {
        while (started < count && started - (opened - before) < HANDSHAKES_AT_ONCE) {
            client_open(loop, &clients[started++]);
        }
        loop_turn(loop);
    }
}

struct client *client_connect(struct loop *loop, const struct client_kind *kind,
                              const struct sockaddr_in *nodes, size_t node_count, uint32_t count)
{
    struct client *clients = mem_zalloc(count * sizeof(*clients));
    for (uint32_t i = 0; i < count; i++) {
        client_init(&clients[i], kind, nodes[i % node_count], client_source(i), i);
    }
    client_open_all(loop, clients, count);
    return clients;
}

void client_close_all(struct client *clients, size_t count)
{
    struct linger reset = {.l_onoff = 1};
    for (size_t i = 0; i < count; i++) {
        int fd = clients[i].handler.fd;
        if (fd >= 0) {
            must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0, "setsockopt");
            close(fd);
        }
        buf_free(&clients[i].in);
        buf_free(&clients[i].out);
    }
}
