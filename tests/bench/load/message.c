/* SPDX-License-Identifier: MIT */
#include "tests/bench/load/message.h"

#include "store/base/buf.h"
#include "tests/bench/load/fail.h"

#include <inttypes.h>

enum {
    DIGITS = 8,
    SMALLEST = 120,
};

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*state >> 33);
}

static void add_tracks(struct buf *text, size_t room)
{
    static const char *const names[] = {"position", "rotation", "speed", "gear", "volume"};
    uint64_t seed = 1;
    for (unsigned i = 0;; i++) {
        char track[96];
        int n = snprintf(track, sizeof(track), ",\"%s%u\":[%d.%03u,%" PRIu32 "]", names[i % 5], i,
                         (int)(next_random(&seed) % 2000) - 1000, next_random(&seed) % 1000 | 1,
                         next_random(&seed) % 100000);
        if (text->len + (size_t)n > room) {
            return;
        }
        buf_append(text, span_of(track, (size_t)n));
    }
}

/* `text` ends where the data begins; `tail` follows it. */
static void fill(struct message *message, struct buf *text, struct span tail, size_t len)
{
    buf_printf(text, "{\"n\":\"");
    message->number_at = text->len;
    buf_printf(text, "00000000\"");
    size_t end = sizeof(",\"end\":\"\"}") - 1 + tail.len;
    if (len < SMALLEST || text->len + end > len) {
        fail("--size must be %d or more, and more than the session id needs", SMALLEST);
    }
    add_tracks(text, len - end);
    buf_printf(text, ",\"end\":\"");
    while (text->len < len - tail.len - 2) {
        buf_append(text, SPAN("x"));
    }
    buf_append(text, SPAN("\"}"));
    buf_append(text, tail);
    message->bytes = text->ptr;
    message->len = text->len;
}

void message_init(struct message *message, const char *session, size_t len)
{
    struct buf text = {0};
    buf_printf(&text, "{\"type\":\"Push\",\"sessionId\":\"%s\",\"data\":", session);
    fill(message, &text, SPAN("}"), len);
}

void message_init_data(struct message *message, size_t len)
{
    struct buf text = {0};
    fill(message, &text, SPAN(""), len);
}

static void put_digits(char *at, uint32_t number)
{
    for (int i = DIGITS - 1; i >= 0; i--) {
        at[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

struct span message_number(struct message *message, uint32_t number)
{
    put_digits(message->bytes + message->number_at, number);
    return span_of(message->bytes, message->len);
}

bool message_is(const struct message *message, struct span text, uint32_t number)
{
    char digits[DIGITS];
    size_t after = message->number_at + DIGITS;
    put_digits(digits, number);
    return text.len == message->len && memcmp(text.ptr + message->number_at, digits, DIGITS) == 0 &&
           memcmp(text.ptr, message->bytes, message->number_at) == 0 &&
           memcmp(text.ptr + after, message->bytes + after, message->len - after) == 0;
}

int64_t message_number_of(const struct message *message, struct span text)
{
    uint32_t number = 0;
    if (text.len != message->len) {
        return -1;
    }
    for (size_t i = 0; i < DIGITS; i++) {
        char digit = text.ptr[message->number_at + i];
        if (digit < '0' || digit > '9') {
            return -1;
        }
        number = number * 10 + (uint32_t)(digit - '0');
    }
    return message_is(message, text, number) ? (int64_t)number : -1;
}
