/* SPDX-License-Identifier: MIT */
/* logs words: what shippers call the parts of a log entry, in one table. A member that has a usual
 * name stands under ours in what the stream keeps; a time is a number of milliseconds there, and a
 * level a word. What is not understood stays as it came, under its own name. */
#ifndef MUSTER_NODE_SERVICE_LOGS_WORDS_H
#define MUSTER_NODE_SERVICE_LOGS_WORDS_H

#include "node/service/logs/entry.h"

/* What a member may stand for. The least rank of an entry's members counts, of equals the last. */
struct logs_word {
    enum logs_field field; /* LOGS_FURTHER: none */
    unsigned rank;         /* 0: our own name */
};

/* `keys` are further names of room and user, with commas; NULL: none. Names are compared without
 * regard to case, and without the underscore that GELF puts before a sender's own. */
struct logs_word logs_word_of(const struct json_member *member, const struct logs_keys *keys);

/* Appends what the member says as the value of that field; false when it is nothing that the field
 * can hold (appends nothing). */
bool logs_word_value(const struct json_member *member, struct logs_word word, struct buf *out);

/* A time in a shipper's form: ISO 8601 (with a zone, or UTC), or a number, or a string that is one,
 * of seconds, milliseconds, micro- or nanoseconds since 1970, told apart by its size (each from 1973
 * on). *us are microseconds since 1970. */
bool logs_word_time(struct span text, int64_t *us);

/* Appends `text` as a JSON string; bytes of it that are no UTF-8 become U+FFFD. */
void logs_word_quote(struct span text, struct buf *out);

/* The word of a level of OpenTelemetry's numbers (1 to 24), else NULL. */
const char *logs_word_severity(unsigned number);

#endif
