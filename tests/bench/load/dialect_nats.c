/* SPDX-License-Identifier: MIT */
/* The protocol of NATS, over TCP. A client asks not to hear itself. */
#include "tests/bench/load/dialect.h"

#include <stdlib.h>

enum { LONGEST_LINE = 8192 };

static struct buf words;

static bool nats_open(struct client *client, const struct place *place)
{
    words.len = 0;
    buf_printf(&words,
               "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false,\"name\":\"bench\","
               "\"lang\":\"c\",\"version\":\"1\",\"protocol\":1}\r\nSUB %s 1\r\nPING\r\n",
               place->group);
    client_send_bytes(client, buf_span(&words));
    return false;
}

static void nats_publish(struct client *client, const struct place *place, struct span data)
{
    words.len = 0;
    buf_printf(&words, "PUB %s %zu\r\n", place->group, data.len);
    buf_append(&words, data);
    buf_append(&words, SPAN("\r\n"));
    client_send_bytes(client, buf_span(&words));
}

/* MSG subject id bytes\r\n, the bytes, \r\n */
static int64_t take_message(const struct place *place, struct span in, size_t head,
                            struct news *news)
{
    size_t at = head - 2, whole = head + place->data_size + 2;
    while (at > 0 && in.ptr[at - 1] != ' ') {
        at--;
    }
    if ((size_t)atoi(in.ptr + at) != place->data_size) {
        return -1;
    }
    if (in.len < whole) {
        return 0;
    }
    news->kind = NEWS_DATA;
    news->data = span_of(in.ptr + head, place->data_size);
    return (int64_t)whole;
}

static int64_t nats_take(struct client *client, const struct place *place, struct span in,
                         struct news *news)
{
    const char *end = in.len > 0 ? memmem(in.ptr, in.len, "\r\n", 2) : NULL;
    if (end == NULL) {
        return in.len > LONGEST_LINE ? -1 : 0;
    }
    size_t len = (size_t)(end - in.ptr) + 2;
    if (span_starts_with(in, SPAN("MSG "))) {
        return take_message(place, in, len, news);
    }
    if (span_starts_with(in, SPAN("-ERR"))) {
        return -1;
    }
    if (span_starts_with(in, SPAN("PING"))) {
        client_send_bytes(client, SPAN("PONG\r\n"));
    } else if (span_starts_with(in, SPAN("PONG"))) {
        news->kind = NEWS_IN;
    }
    return (int64_t)len;
}

const struct dialect dialect_nats = {
    .name = "nats",
    .bytes = true,
    .sender_is_spared = true,
    .path = "/",
    .open = nats_open,
    .publish = nats_publish,
    .take = nats_take,
};
