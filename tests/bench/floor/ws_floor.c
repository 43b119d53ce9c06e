/* SPDX-License-Identifier: MIT */
/* bench_floor ADDRESS:PORT: the least that a fan-out over WebSocket can be. It accepts, upgrades,
 * and writes the payload of every text frame it reads to every other open connection, with one
 * write(2) each. No queues, no JSON, no timers, no limits: a receiver that does not keep up ends
 * the program. It prints `ready` when it listens.
 *
 *   accept -> read until an empty line -> answer 101 -> read frame -> one frame, n - 1 writes */
#include "store/base/buf.h"
#include "store/base/mem.h"
#include "tests/bench/floor/serve.h"

#include <endian.h>
#include <errno.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <stdint.h>
#include <unistd.h>

enum {
    READ_SIZE = 1 << 16,
    KEY_SIZE = 24,
    ACCEPT_SIZE = BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE),
    OP_TEXT = 1,
    OP_CLOSE = 8,
};

struct peer {
    int fd;
    bool open;       /* upgraded; stands in open_peers */
    uint32_t at;     /* where */
    struct buf rest; /* what is half-read */
};

static struct peer **open_peers;
static uint32_t open_count, open_cap;
static char read_buffer[READ_SIZE];

static void peer_opened(struct peer *peer)
{
    if (open_count == open_cap) {
        open_cap = open_cap > 0 ? open_cap * 2 : 1024;
        open_peers = mem_realloc(open_peers, open_cap * sizeof(struct peer *));
    }
    peer->open = true;
    peer->at = open_count;
    open_peers[open_count++] = peer;
}

static void peer_close(struct peer *peer)
{
    if (peer->open) {
        open_peers[peer->at] = open_peers[--open_count];
        open_peers[peer->at]->at = peer->at;
    }
    close(peer->fd);
    buf_free(&peer->rest);
    free(peer);
}

static void write_all(const struct peer *peer, const char *bytes, size_t len)
{
    ssize_t n = write(peer->fd, bytes, len);
    if (n != (ssize_t)len && !(n < 0 && (errno == EPIPE || errno == ECONNRESET))) {
        die("a receiver does not keep up");
    }
}

static void fan_out(const struct peer *sender, const char *bytes, size_t len)
{
    for (uint32_t i = 0; i < open_count; i++) {
        if (open_peers[i] != sender) {
            write_all(open_peers[i], bytes, len);
        }
    }
}

static size_t put_header(uint8_t *at, size_t len)
{
    at[0] = 0x80 | OP_TEXT;
    if (len < 126) {
        at[1] = (uint8_t)len;
        return 2;
    }
    at[1] = 126;
    at[2] = (uint8_t)(len >> 8);
    at[3] = (uint8_t)len;
    return 4;
}

static void unmask(char *to, const uint8_t *from, size_t len, const uint8_t *mask)
{
    uint64_t mask8;
    size_t i = 0;
    memcpy(&mask8, mask, 4);
    memcpy((char *)&mask8 + 4, mask, 4);
    for (; i + 8 <= len; i += 8) {
        uint64_t word;
        memcpy(&word, from + i, 8);
        word ^= mask8;
        memcpy(to + i, &word, 8);
    }
    for (; i < len; i++) {
        to[i] = (char)(from[i] ^ mask[i & 3]);
    }
}

static void relay(const struct peer *sender, const uint8_t *payload, size_t len,
                  const uint8_t *mask)
{
    static char frame[READ_SIZE + 4];
    size_t head = put_header((uint8_t *)frame, len);
    unmask(frame + head, payload, len, mask);
    fan_out(sender, frame, head + len);
}

/* below 0: the peer is to go; 0: more needed; above 0: the bytes of the frame */
static int take_frame(const struct peer *peer, const uint8_t *at, size_t len)
{
    if (len < 2) {
        return 0;
    }
    size_t payload = at[1] & 0x7f, head = payload == 126 ? 8 : 6;
    if ((at[0] & 0x0f) == OP_CLOSE || payload == 127 || (at[1] & 0x80) == 0) {
        return -1;
    }
    if (len < head) {
        return 0;
    }
    if (payload == 126) {
        payload = (size_t)at[2] << 8 | at[3];
    }
    if (len < head + payload) {
        return 0;
    }
    if ((at[0] & 0x0f) == OP_TEXT) {
        relay(peer, at + head, payload, at + head - 4);
    }
    return (int)(head + payload);
}

static void put_accept(char *accept_text, const char *key)
{
    struct sha1_ctx hash;
    uint8_t digest[SHA1_DIGEST_SIZE];
    struct span guid = SPAN("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    sha1_init(&hash);
    sha1_update(&hash, KEY_SIZE, (const uint8_t *)key);
    sha1_update(&hash, guid.len, (const uint8_t *)guid.ptr);
    sha1_digest(&hash, sizeof(digest), digest);
    base64_encode_raw(accept_text, sizeof(digest), digest);
}

/* As take_frame, for the request. */
static int take_request(struct peer *peer, const char *at, size_t len)
{
    struct span name = SPAN("Sec-WebSocket-Key: ");
    const char *end = memmem(at, len, "\r\n\r\n", 4);
    const char *key = memmem(at, len, name.ptr, name.len);
    char accept_text[ACCEPT_SIZE], answer[192];
    if (end == NULL) {
        return len < READ_SIZE ? 0 : -1;
    }
    if (key == NULL || end - key < KEY_SIZE) {
        return -1;
    }
    put_accept(accept_text, key + name.len);
    int n = snprintf(answer, sizeof(answer),
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %.*s\r\n\r\n",
                     ACCEPT_SIZE, accept_text);
    write_all(peer, answer, (size_t)n);
    peer_opened(peer);
    return (int)(end - at) + 4;
}

/* Returns the bytes taken, or -1 when the peer is to go. */
static ssize_t take_all(struct peer *peer, const char *at, size_t len)
{
    size_t taken = 0;
    while (taken < len) {
        int n = peer->open ? take_frame(peer, (const uint8_t *)at + taken, len - taken)
                           : take_request(peer, at + taken, len - taken);
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        taken += (size_t)n;
    }
    return (ssize_t)taken;
}

static ssize_t take_with_rest(struct peer *peer, size_t n)
{
    buf_append(&peer->rest, span_of(read_buffer, n));
    ssize_t taken = take_all(peer, peer->rest.ptr, peer->rest.len);
    if (taken > 0) {
        buf_consume(&peer->rest, (size_t)taken);
    }
    return taken;
}

static void peer_readable(void *arg)
{
    struct peer *peer = arg;
    ssize_t n = read(peer->fd, read_buffer, READ_SIZE);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    ssize_t taken = -1;
    if (n > 0 && peer->rest.len > 0) {
        taken = take_with_rest(peer, (size_t)n);
    } else if (n > 0) {
        taken = take_all(peer, read_buffer, (size_t)n);
        if (taken >= 0 && taken < n) {
            buf_append(&peer->rest, span_of(read_buffer + taken, (size_t)(n - taken)));
        }
    }
    if (taken < 0) {
        peer_close(peer);
    } else if (peer->rest.len == 0) {
        buf_free(&peer->rest);
    }
}

static void *accepted(int fd)
{
    struct peer *peer = mem_zalloc(sizeof(*peer));
    peer->fd = fd;
    return peer;
}

int main(int argc, char **argv)
{
    static const struct floor_handler handler = {.accepted = accepted, .readable = peer_readable};
    return floor_main(argc, argv, &handler);
}
