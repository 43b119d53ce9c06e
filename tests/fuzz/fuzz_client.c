/* SPDX-License-Identifier: MIT */
/* A server that is listened to (logs_dump over ws_client), which says what it likes: the first byte chooses whether its
 * handshake is right ('h'), or the rest of the input stands in its place, '~' being the key's echo; behind an 'u' stands a URL. Whatever comes,
 * entries lie within what came, and the end is the end. */
#include "node/proto/ws/client.h"
#include "node/service/logs/dump.h"
#include "store/base/buf.h"

#include <arpa/inet.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <nettle/version.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TURNS_MOST = 100 * 1000, QUIET_TURNS = 4, ROOM = 64 * 1024 };

static struct event_base *base;
static int listener = -1;
static uint16_t port;
static unsigned moved;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void listen_here(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(listener, 8) == 0 &&
             getsockname(listener, (struct sockaddr *)&at, &len) == 0,
         "a port");
    port = ntohs(at.sin_port);
}

/* The echo of the key in `request`. */
static void print_accept(const struct buf *request, struct buf *out)
{
    static const char field[] = "Sec-WebSocket-Key: ",
                      guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const char *key = memmem(request->ptr, request->len, field, sizeof(field) - 1);
    uint8_t digest[SHA1_DIGEST_SIZE];
    struct sha1_ctx sha1;
    must(key != NULL, "a key");
    sha1_init(&sha1);
    sha1_update(&sha1, 24, (const uint8_t *)key + sizeof(field) - 1);
    sha1_update(&sha1, sizeof(guid) - 1, (const uint8_t *)guid);
#if NETTLE_VERSION_MAJOR >= 4
    sha1_digest(&sha1, digest);
#else
    sha1_digest(&sha1, sizeof(digest), digest);
#endif
    base64_encode_raw(buf_room(out, BASE64_ENCODE_RAW_LENGTH(sizeof(digest))), sizeof(digest),
                      digest);
    buf_grew(out, BASE64_ENCODE_RAW_LENGTH(sizeof(digest)));
}

static void tell(int fd, struct span bytes)
{
    ssize_t ignored = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)ignored;
}

static void say(int fd, const struct buf *request, struct span input)
{
    struct buf out = {0};
    struct span rest = span_skip(input, 1);
    if (input.ptr[0] == 'h') {
        buf_append(&out, SPAN("HTTP/1.1 101 x\r\nSec-WebSocket-Accept: "));
        print_accept(request, &out);
        buf_append(&out, SPAN("\r\n\r\n"));
        if (rest.len % 2 == 0) {
            tell(fd, buf_span(&out));
            out.len = 0;
            event_base_loop(base, EVLOOP_NONBLOCK);
        }
        buf_append(&out, rest);
    } else {
        while (rest.len > 0) {
            buf_append(&out, span_cut(&rest, '~'));
            print_accept(request, &out);
        }
    }
    tell(fd, buf_span(&out));
    if (input.len % 8 == 1) {
        shutdown(fd, SHUT_WR);
    }
    buf_free(&out);
}

static bool on_entry(void *arg, const struct sink_item *item)
{
    size_t *bytes = arg;
    unsigned sum = 0;
    for (size_t i = 0; i < item->payload.len; i++) {
        sum += (unsigned char)item->payload.ptr[i]; /* a sanitizer sees what is not there */
    }
    must(item->payload.len > 0 && item->payload.len <= ROOM && sum != UINT32_MAX, "an entry");
    *bytes += item->payload.len;
    moved++;
    return *bytes % 3 != 0;
}

static bool has_room(void *arg)
{
    (void)arg;
    return true;
}

/* Turns until nothing more happens. */
static void play(struct span input)
{
    int fd = -1, quiet = 0;
    bool said = false;
    struct buf request = {0};
    for (int turn = 0; turn < TURNS_MOST && quiet < QUIET_TURNS; turn++) {
        moved = 0;
        event_base_loop(base, EVLOOP_NONBLOCK);
        if (fd < 0) {
            fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            moved += fd >= 0;
        }
        ssize_t n = fd >= 0 ? recv(fd, buf_room(&request, ROOM), ROOM, 0) : -1;
        buf_grew(&request, n > 0 ? (size_t)n : 0);
        moved += n > 0;
        if (!said && request.len > 4 && memcmp(request.ptr + request.len - 4, "\r\n\r\n", 4) == 0) {
            say(fd, &request, input);
            said = true;
            moved++;
        }
        quiet = moved == 0 && said ? quiet + 1 : 0;
        if (!said && moved == 0) {
            usleep(20); /* a thread looks the name up */
        }
    }
    must(said, "it asks");
    if (fd >= 0) { /* with a reset, which leaves no port in use */
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        close(fd);
    }
    buf_free(&request);
}

static void look_at_url(struct span text)
{
    struct buf url = {0};
    char error[256] = "";
    buf_append(&url, text);
    int rc = ws_client_check(buf_text(&url), "", error, sizeof(error));
    must((rc == 0) == (error[0] == '\0'), "a URL, or what is wrong with it");
    buf_free(&url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char url[64], error[256];
    size_t bytes = 0;
    if (size == 0 || size > ROOM / 2) {
        return 0;
    }
    if (base == NULL) {
        base = event_base_new();
        listen_here();
    }
    if (data[0] == 'u') {
        look_at_url(span_of(data + 1, size - 1));
        return 0;
    }
    snprintf(url, sizeof(url), "ws://127.0.0.1:%u/l?a", port);
    struct logs_dump *dump = logs_dump_new(&(struct logs_dump_options){.base = base,
                                                                       .url = url,
                                                                       .ca = "",
                                                                       .token = "t",
                                                                       .entry = on_entry,
                                                                       .room = has_room,
                                                                       .arg = &bytes},
                                           error, sizeof(error));
    must(dump != NULL, "a URL");
    play(span_of(data, size));
    logs_dump_free(&dump);
    must(dump == NULL, "gone");
    return 0;
}
