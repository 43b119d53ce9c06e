/* SPDX-License-Identifier: MIT */
/* message: the pushes of one session, equal but for a number that counts them, so that a receiver
 * can tell with two memcmp that it got the right bytes in the right order. */
#ifndef MUSTER_BENCH_LOAD_MESSAGE_H
#define MUSTER_BENCH_LOAD_MESSAGE_H

#include "store/base/span.h"

#include <stdint.h>

struct message {
    char *bytes; /* owned */
    size_t len;
    size_t number_at; /* offset of the eight digits */
};

/* A Push of exactly `len` bytes (at least 120) for that session: JSON such as players send, of
 * short keys and numbers that vary. */
void message_init(struct message *message, const char *session, size_t len);

/* Only the data of such a push, of `len` bytes (at least 120). A JSON parser and printer gives back
 * the same bytes. */
void message_init_data(struct message *message, size_t len);

/* The bytes of push `number`, borrowed until the next call. */
struct span message_number(struct message *message, uint32_t number);

/* True when `text` is push `number`, byte for byte. */
bool message_is(const struct message *message, struct span text, uint32_t number);

/* The number of a text that is one of the pushes, or -1. */
int64_t message_number_of(const struct message *message, struct span text);

#endif
