/* SPDX-License-Identifier: MIT */
/* logs entry: the words of a log entry on the wire (docs/protocols.md#logs). What comes in at /logs/add
 * becomes what the stream keeps: one object per entry, the room first,
 *
 *     {"room":"r","timestamp":1700000000000,"level":"info",...}
 *
 * with the room's name as its tag. What goes out to listeners has the server's time and number in
 * front. */
#ifndef MUSTER_NODE_SERVICE_LOGS_ENTRY_H
#define MUSTER_NODE_SERVICE_LOGS_ENTRY_H

#include "node/proto/json/walk.h"
#include "store/base/buf.h"

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
const char *logs_field_name(enum logs_field field);

/* Further names of room and user, as settings give them: with commas, borrowed. */
struct logs_keys {
    const char *room, *user;
};

/* The lane of a room: the same on every node with as many lanes. */
unsigned logs_lane(struct span room, unsigned lanes);

/* An entry of the server's own, as the stream keeps it; it has no room. */
void logs_print_own(struct buf *out, uint64_t time_ms, const char *level, struct span msg,
                    struct span text, const char *node);

/* An entry as listeners get it. */
void logs_print(struct buf *out, uint64_t seq, struct span payload);

/* A note to one listener, which stands nowhere in the stream, with the number of the last entry that
 * it is about: dumpers in use want one in each. */
void logs_print_note(struct buf *out, uint64_t time_ms, uint64_t seq, struct span msg);

/* What the old viewer and peers send for "no room". */
bool logs_is_no_room(struct span room);

/* Is it a line of a node (logs_print_own), going by its tag and what it says of itself? They tell of addresses
 * and names that are not for everybody. */
bool logs_is_own(struct span tag, struct span payload);

#endif
