/* SPDX-License-Identifier: MIT */
/* history call: what the word `history` asks of a backend. */
#ifndef MUSTER_STORE_HISTORY_CALL_H
#define MUSTER_STORE_HISTORY_CALL_H

#include "store/base/span.h"

#include <stddef.h>
#include <stdint.h>

enum history_verb { HISTORY_APPEND, HISTORY_AFTER, HISTORY_NEWEST };

struct history_item {
    uint64_t sequence; /* of this writer, growing; taken once */
    struct span value;
};

/* One atomic visit to a history (history.lua). The answer is a history note
 * (store/history/note.h). */
struct history_call {
    enum history_verb verb;
    struct span key;     /* where the entries are, with prefix */
    struct span channel; /* APPEND: where they are published */
    struct span writer;
    uint32_t most; /* entries kept */
    const struct history_item *items;
    size_t count;
    /* AFTER: entries behind that id; from the last shared place on, when the timeline is another;
     * all, when the birth is. With a limit of 0 the writers are listed. */
    uint64_t birth, after;
    struct span timeline;
    struct span mark; /* "sequence writer" of the entry at `after`; empty: not known */
    uint32_t offset;  /* NEWEST: so many are left out */
    uint32_t limit;   /* AFTER, NEWEST */
};

#endif
