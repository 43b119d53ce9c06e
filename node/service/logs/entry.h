/* SPDX-License-Identifier: MIT */
/* logs entry: the words of a log entry on the wire (wire page logs.md). What comes in at /logs/add
 * becomes what the stream keeps: one object per entry, the room first,
 *
 *     {"room":"r","timestamp":1700000000000,"level":"info",...}
 *
 * with the room's name as its tag. What goes out to listeners has the server's time and number in
 * front. */
#ifndef MUSTER_NODE_SERVICE_LOGS_ENTRY_H
#define MUSTER_NODE_SERVICE_LOGS_ENTRY_H

#include "node/proto/json/walk.h"
#include "store/stream.h"

enum logs_field {
    LOGS_TIMESTAMP,
    LOGS_LEVEL,
    LOGS_MSG,
    LOGS_TEXT,
    LOGS_USER,
    LOGS_ROOM,
    LOGS_SERVER_TIME,
    LOGS_SEQ_NUMBER,
    LOGS_FIELDS,
    LOGS_FURTHER = LOGS_FIELDS, /* none of them */
};

enum logs_field logs_field_of(const struct json_member *member);

/* Entries read from a body; all zero at the start. */
struct logs_batch {
    struct buf text; /* tags and payloads */
    struct stream_item *items;
    size_t count, cap;
};

enum logs_verdict { LOGS_GOOD, LOGS_BAD, LOGS_TOO_LARGE };

/* Reads an object or an array of objects. Not LOGS_GOOD: a text for the sender in `error`. */
enum logs_verdict logs_batch_read(struct logs_batch *batch, struct span body, size_t entry_limit,
                                  unsigned lanes, char *error, size_t error_size)
    __attribute__((warn_unused_result));
void logs_batch_free(struct logs_batch *batch);

/* The lane of a room: the same on every node with as many lanes. */
unsigned logs_lane(struct span room, unsigned lanes);

/* An entry of the server's own, as the stream keeps it; it has no room. */
void logs_print_own(struct buf *out, uint64_t time_ms, const char *level, struct span msg,
                    struct span text, const char *node);

/* An entry as listeners get it. */
void logs_print(struct buf *out, uint64_t seq, struct span payload);

/* A note to one listener, which stands nowhere in the stream: without a number. */
void logs_print_note(struct buf *out, uint64_t time_ms, struct span msg);

/* What the old viewer and peers send for "no room". */
bool logs_is_no_room(struct span room);

#endif
