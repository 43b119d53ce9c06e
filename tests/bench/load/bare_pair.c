/* SPDX-License-Identifier: MIT */
#include "tests/bench/load/bare_pair.h"

#include "store/base/mem.h"
#include "tests/bench/load/fail.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/tcp.h>

#define TOPIC "bare"
#define SUBSCRIBE "*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\n" TOPIC "\r\n"
#define SUBSCRIBED "*3\r\n$9\r\nsubscribe\r\n$4\r\n" TOPIC "\r\n:1\r\n"
#define MESSAGE "*3\r\n$7\r\nmessage\r\n$4\r\n" TOPIC "\r\n$%zu\r\n"

static char read_buffer[1 << 18];

static void send_all(int fd, struct span bytes)
{
    ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    must(n >= 0, "send to Redis");
    if ((size_t)n < bytes.len) {
        fail("Redis does not keep up");
    }
}

static struct span receive(struct handler *handler)
{
    ssize_t n = recv(handler->fd, read_buffer, sizeof(read_buffer), 0);
    must(n > 0, "recv from Redis");
    return span_of(read_buffer, (size_t)n);
}

static void on_publisher(struct handler *handler, uint32_t events)
{
    (void)events;
    struct span replies = receive(handler);
    if (memchr(replies.ptr, '-', replies.len) != NULL) {
        fail("Redis says: %.*s", SPAN_ARG(replies));
    }
}

static void note_message(struct bare_pair *pair, struct span payload)
{
    if (!message_is(&pair->message, payload, pair->received)) {
        fail("the bare subscriber wants message %u, got: %.*s", pair->received, SPAN_ARG(payload));
    }
    uint64_t sent_at = pair->published_at[pair->received++ % BARE_RING];
    if (pair->recording) {
        samples_add(&pair->samples, now_ns() - sent_at);
    }
}

/* All messages have one length, so what stands around the payload is known beforehand. */
static size_t take_message(struct bare_pair *pair, struct span in)
{
    char head[64];
    size_t head_len = (size_t)snprintf(head, sizeof(head), MESSAGE, pair->message.len);
    size_t len = head_len + pair->message.len + 2;
    if (in.len < len) {
        return 0;
    }
    if (memcmp(in.ptr, head, head_len) != 0) {
        fail("the bare subscriber got: %.*s", SPAN_ARG(in));
    }
    note_message(pair, span_of(in.ptr + head_len, pair->message.len));
    return len;
}

static size_t take_subscribed(struct bare_pair *pair, struct span in)
{
    struct span wanted = SPAN(SUBSCRIBED);
    pair->subscribed = span_starts_with(in, wanted);
    return pair->subscribed ? wanted.len : 0;
}

static void on_subscriber(struct handler *handler, uint32_t events)
{
    struct bare_pair *pair = CONTAINER_OF(handler, struct bare_pair, subscriber);
    (void)events;
    buf_append(&pair->in, receive(handler));
    size_t taken = 0, n;
    do {
        struct span rest = span_skip(buf_span(&pair->in), taken);
        n = pair->subscribed ? take_message(pair, rest) : take_subscribed(pair, rest);
        taken += n;
    } while (n > 0);
    buf_consume(&pair->in, taken);
}

static int connect_to(const struct sockaddr_in *redis)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    must(fd >= 0, "socket");
    must(connect(fd, (const struct sockaddr *)redis, sizeof(*redis)) == 0, "connect to Redis");
    must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0, "setsockopt");
    return fd;
}

void bare_pair_open(struct bare_pair *pair, struct loop *loop, const struct sockaddr_in *redis,
                    size_t size)
{
    message_init(&pair->message, "bare", size);
    pair->publisher = (struct handler){connect_to(redis), on_publisher};
    pair->subscriber = (struct handler){connect_to(redis), on_subscriber};
    loop_add(loop, &pair->publisher, EPOLLIN);
    loop_add(loop, &pair->subscriber, EPOLLIN);
    phase_set("subscribing the bare pair");
    send_all(pair->subscriber.fd, SPAN(SUBSCRIBE));
    while (!pair->subscribed) {
        loop_turn(loop);
    }
}

void bare_pair_publish(struct bare_pair *pair)
{
    static struct buf command;
    struct span payload = message_number(&pair->message, pair->published);
    if (pair->published - pair->received >= BARE_RING) {
        fail("%d bare messages are on their way", BARE_RING);
    }
    command.len = 0;
    buf_printf(&command, "*3\r\n$7\r\nPUBLISH\r\n$4\r\n" TOPIC "\r\n$%zu\r\n", payload.len);
    buf_append(&command, payload);
    buf_append(&command, SPAN("\r\n"));
    pair->published_at[pair->published++ % BARE_RING] = now_ns();
    send_all(pair->publisher.fd, buf_span(&command));
}
