/* SPDX-License-Identifier: MIT */
/* One stream of bytes as fast as it goes, from a device to who reads it; what comes is compared
 * with what was sent.
 *
 *     device --> node of dispatch --> driver            --node, --path, --device
 *     device --> TCP proxy --> a plain socket           --floor 1, --listen, --device
 *     publisher --> Redis --> subscriber, --size each   --redis                                */
#include "store/base/mem.h"
#include "tests/bench/load/client.h"
#include "tests/bench/load/fail.h"
#include "tests/bench/load/mode.h"

#include <endian.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/tcp.h>

enum {
    PERIOD = 65521, /* prime: no piece that gets lost leaves the rest in place */
    PIECE = 128 * 1024,
    READ_SIZE = 256 * 1024,
    PIECES_PER_TURN = 4,
    DISPATCH_HEAD = 1 + sizeof("127.0.0.1") + 8 + 4,
    RECEIVED = 2,
    PUBLISHED_AHEAD = 8,
};

#define TOPIC "stream"

struct stream {
    struct loop *loop;
    struct handler source, sink;
    uint64_t sent, received;
    char head[16 + DISPATCH_HEAD]; /* of the frame that begins */
    size_t have;
    uint64_t left; /* bytes of the frame under way */
    bool framed;
    struct buf command; /* publishing: one message, and what of it is not sent yet */
    size_t unsent, message_len;
};

static char pattern[PERIOD + READ_SIZE];
static char read_buffer[READ_SIZE];

static void fill_pattern(void)
{
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof(pattern); i++) {
        state = i % PERIOD == 0 ? 1 : state * 1664525 + 1013904223;
        pattern[i] = (char)(state >> 24);
    }
}

static void check(struct stream *stream, const char *bytes, size_t len)
{
    if (memcmp(bytes, pattern + stream->received % PERIOD, len) != 0) {
        fail("wrong bytes at %llu", (unsigned long long)stream->received);
    }
    stream->received += len;
}

/* ------------------------------------------------------------------------------------ in */

/* The head of a frame, as far as it is there; whole, it is looked at. */
static size_t take_head(struct stream *stream, const char *bytes, size_t len)
{
    size_t taken = 0;
    const uint8_t *head = (const uint8_t *)stream->head;
    size_t ws = stream->have < 2 || head[1] < 126 ? 2 : head[1] == 126 ? 4 : 10;
    for (; taken < len && stream->have < ws + DISPATCH_HEAD; taken++) {
        stream->head[stream->have++] = bytes[taken];
        ws = stream->have < 2 || head[1] < 126 ? 2 : head[1] == 126 ? 4 : 10;
    }
    if (stream->have == ws + DISPATCH_HEAD) {
        uint32_t size;
        memcpy(&size, stream->head + ws + DISPATCH_HEAD - 4, sizeof(size));
        if (head[0] != 0x82 || (head[ws] != RECEIVED && size != 0)) {
            fail("no frame of the device: %02x %02x", head[0], head[ws]);
        }
        stream->left = be32toh(size);
        stream->have = 0;
    }
    return taken;
}

static void take_frames(struct stream *stream, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t taken = stream->left < len ? stream->left : len;
        if (taken > 0) {
            check(stream, bytes, taken);
            stream->left -= taken;
        } else {
            taken = take_head(stream, bytes, len);
        }
        bytes += taken;
        len -= taken;
    }
}

static void on_sink(struct handler *handler, uint32_t events)
{
    struct stream *stream = CONTAINER_OF(handler, struct stream, sink);
    ssize_t n = recv(handler->fd, read_buffer, READ_SIZE, MSG_DONTWAIT);
    (void)events;
    must(n > 0 || (n < 0 && errno == EAGAIN), "recv of the stream");
    if (n > 0 && stream->framed) {
        take_frames(stream, read_buffer, (size_t)n);
    } else if (n > 0) {
        check(stream, read_buffer, (size_t)n);
    }
}

/* ------------------------------------------------------------------------------------ out */

static void on_source(struct handler *handler, uint32_t events)
{
    struct stream *stream = CONTAINER_OF(handler, struct stream, source);
    (void)events;
    for (int i = 0; i < PIECES_PER_TURN; i++) {
        ssize_t n =
            send(handler->fd, pattern + stream->sent % PERIOD, PIECE, MSG_DONTWAIT | MSG_NOSIGNAL);
        must(n >= 0 || errno == EAGAIN, "send of the stream");
        stream->sent += n > 0 ? (uint64_t)n : 0;
        if (n < PIECE) {
            return;
        }
    }
}

static int connect_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    must(fd >= 0, "socket");
    must(bind(fd, (struct sockaddr *)&source, sizeof(source)) == 0, "bind");
    must(connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0, "connect");
    must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0, "setsockopt");
    return fd;
}

/* ------------------------------------------------------------------------------------ ends */

static void on_unexpected(struct client *client, const struct frame *frame)
{
    (void)client;
    fail("a frame before the device: %u", frame->opcode);
}

static void open_driver(struct stream *stream, struct client *driver, const struct options *options)
{
    static struct client_kind kind = {.frame = on_unexpected};
    kind.path = options->path;
    client_init(driver, &kind, options->nodes[0], (struct in_addr){htonl(INADDR_LOOPBACK)}, 0);
    client_open_all(stream->loop, driver, 1);
    loop_remove(stream->loop, &driver->handler);
    stream->framed = true;
    stream->sink.fd = driver->handler.fd;
    stream->source.fd = connect_to(&options->device);
}

static void open_plain(struct stream *stream, const struct options *options)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)options->listen),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0, "setsockopt");
    must(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
    must(listen(fd, 1) == 0, "listen");
    stream->source.fd = connect_to(&options->device);
    stream->sink.fd = accept(fd, NULL, NULL);
    must(stream->sink.fd >= 0, "accept");
    close(fd);
}

/* ------------------------------------------------------------------------------ bare publishing */

static void send_command(struct stream *stream)
{
    while (stream->sent - stream->received / stream->message_len < PUBLISHED_AHEAD) {
        const char *from = stream->command.ptr + stream->command.len - stream->unsent;
        ssize_t n = send(stream->source.fd, from, stream->unsent, MSG_DONTWAIT | MSG_NOSIGNAL);
        must(n >= 0 || errno == EAGAIN, "send to Redis");
        stream->unsent -= n > 0 ? (size_t)n : 0;
        if (stream->unsent > 0) {
            return;
        }
        stream->unsent = stream->command.len;
        stream->sent++;
    }
}

static void on_publisher(struct handler *handler, uint32_t events)
{
    struct stream *stream = CONTAINER_OF(handler, struct stream, source);
    if ((events & EPOLLIN) != 0) {
        must(recv(handler->fd, read_buffer, READ_SIZE, MSG_DONTWAIT) > 0, "recv from Redis");
    }
    send_command(stream);
}

static void on_subscriber(struct handler *handler, uint32_t events)
{
    struct stream *stream = CONTAINER_OF(handler, struct stream, sink);
    ssize_t n = recv(handler->fd, read_buffer, READ_SIZE, MSG_DONTWAIT);
    (void)events;
    must(n > 0 || (n < 0 && errno == EAGAIN), "recv from Redis");
    stream->received += n > 0 ? (uint64_t)n : 0;
    send_command(stream);
}

static void open_bare(struct stream *stream, const struct options *options)
{
    static const char subscribe[] = "*2\r\n$9\r\nSUBSCRIBE\r\n$6\r\n" TOPIC "\r\n";
    char head[64];
    stream->source = (struct handler){connect_to(&options->redis), on_publisher};
    stream->sink = (struct handler){connect_to(&options->redis), on_subscriber};
    must(send(stream->sink.fd, subscribe, sizeof(subscribe) - 1, 0) > 0, "send to Redis");
    must(recv(stream->sink.fd, read_buffer, READ_SIZE, 0) > 0, "recv from Redis");
    buf_printf(&stream->command, "*3\r\n$7\r\nPUBLISH\r\n$6\r\n" TOPIC "\r\n$%u\r\n",
               options->size);
    buf_append(&stream->command, span_of(pattern, options->size));
    buf_append(&stream->command, SPAN("\r\n"));
    int len = snprintf(head, sizeof(head), "*3\r\n$7\r\nmessage\r\n$6\r\n" TOPIC "\r\n$%u\r\n",
                       options->size);
    stream->unsent = stream->command.len;
    stream->message_len = (size_t)len + options->size + 2;
}

/* ------------------------------------------------------------------------------------ the run */

void mode_stream(struct loop *loop, const struct options *options)
{
    struct stream stream = {
        .loop = loop, .source = {-1, on_source}, .sink = {-1, on_sink}, .message_len = 1};
    struct client driver;
    fill_pattern();
    if (options->has_redis) {
        open_bare(&stream, options);
    } else if (options->floor) {
        open_plain(&stream, options);
    } else {
        mode_needs_node(options);
        open_driver(&stream, &driver, options);
    }
    loop_add(loop, &stream.sink, EPOLLIN);
    loop_add(loop, &stream.source, options->has_redis ? EPOLLIN : EPOLLOUT);
    if (options->has_redis) {
        send_command(&stream);
    }
    phase_set("streaming");
    loop_run_for(loop, options->warm_up);
    uint64_t start = now_ns(), before = stream.received;
    loop_run_for(loop, options->seconds);
    double seconds = (double)(now_ns() - start) / 1e9;
    printf("{\"bytes_per_second\":%.0f,\"bytes\":%llu}\n",
           (double)(stream.received - before) / seconds, (unsigned long long)stream.received);
}
