/* SPDX-License-Identifier: MIT */
/* history note: the text in which a history speaks, as the answer to a call and as the message to
 * its watchers. Made by history.lua and by the memory hub, read by every node.
 *
 *     <birth> <timeline> <after> <last id> <count> <writers>\n
 *     count times:   <id> <sequence> <writer length> <value length>\n<writer><value>
 *     writers times: <sequence> <writer length>\n<writer>      the last one taken of each
 *
 * A birth of 0: there is no such key. */
#ifndef MUSTER_STORE_HISTORY_NOTE_H
#define MUSTER_STORE_HISTORY_NOTE_H

#include "store/base/buf.h"
#include "store/base/span.h"

#include <stdint.h>

struct history_record {
    uint64_t id;
    uint64_t sequence; /* grows for each writer */
    struct span writer, value;
};

struct history_note {
    uint64_t birth;       /* first id ever given in this life of the key */
    struct span timeline; /* whose history it is: docs/store.md */
    uint64_t after;       /* the records are those behind this id */
    uint64_t last;        /* newest id */
    struct span records;  /* borrowed, as are the others; well-formed */
    struct span writers;  /* history_note_writer */
};

/* Reads all of `bytes`, which stay borrowed. 0, or -1 when they are no note. */
int history_note_read(struct span bytes, struct history_note *note)
    __attribute__((warn_unused_result));

/* Cuts the next record off *rest (begin with note.records); false at the end. */
bool history_note_next(struct span *rest, struct history_record *record);

/* Cuts the next writer off *rest (begin with note.writers); false at the end. */
bool history_note_writer(struct span *rest, struct span *writer, uint64_t *sequence);

/* Of `note` all but records and writers is used, which are said to be so many, and follow. */
void history_note_head(struct buf *out, const struct history_note *note, size_t count,
                       size_t writers);
void history_note_put_writer(struct buf *out, struct span writer, uint64_t sequence);
void history_note_record(struct buf *out, const struct history_record *record);

#endif
