/* SPDX-License-Identifier: MIT */
/* roster note: the text in which a roster key speaks, as the answer to a touch and as the message
 * to its watchers. Made by roster.lua and by the memory hub, read by every node.
 *
 *     <W> <birth> <previous version> <version> <count>[ fields of later versions]\n
 *     count times: +<name length> <value length> <token>\n<name><value>   set
 *                  -<name length> 0 <token>\n<name>                       gone
 *
 * A token names the lease that the member lives by (store/roster/lease.h).
 *
 * count is -1 where no members are listed. A birth of 0: there is no such key. */
#ifndef MUSTER_STORE_ROSTER_NOTE_H
#define MUSTER_STORE_ROSTER_NOTE_H

#include "store/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct roster_entry {
    struct span member;
    struct span value;
    bool gone;      /* release it; else set it */
    uint64_t token; /* of the lease that it lives, or lived, by; to be set: of this node's now */
};

struct roster_note {
    uint64_t birth;    /* when the key came to be, in the server's microseconds: its identity */
    uint64_t previous; /* version before this change; 0 for the first and in answers */
    uint64_t version;
    bool listed;
    struct span entries; /* borrowed; well-formed */
};

/* Reads all of `bytes`, which stay borrowed. 0, or -1 when they are no note. */
int roster_note_read(struct span bytes, struct roster_note *note)
    __attribute__((warn_unused_result));

/* Cuts the next entry off *rest (begin with note.entries); false at the end. */
bool roster_note_next(struct span *rest, struct roster_entry *entry);

void roster_note_head(struct buf *out, uint64_t birth, uint64_t previous, uint64_t version,
                      long count);
void roster_note_entry(struct buf *out, const struct roster_entry *entry);

#endif
