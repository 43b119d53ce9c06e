/* SPDX-License-Identifier: MIT */
/* A note of a roster, as Redis' scripts return it and as it comes over the bus: what was read is
 * written again the same in meaning, and nothing outside the bytes is looked at. */
#include "store/roster/note.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static bool inside(struct span part, struct span whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static long count_entries(struct span rest, struct span whole)
{
    struct roster_entry entry;
    long count = 0;
    while (roster_note_next(&rest, &entry)) {
        must(inside(entry.member, whole) && inside(entry.value, whole), "entries are borrowed");
        count++;
    }
    must(rest.len == 0, "a note that was read has nothing behind it");
    return count;
}

static void write_again(const struct roster_note *note, long count, struct buf *out)
{
    struct span rest = note->entries;
    struct roster_entry entry;
    roster_note_head(out, note->birth, note->previous, note->version, note->listed ? count : -1);
    while (roster_note_next(&rest, &entry)) {
        roster_note_entry(out, &entry);
    }
}

static void check_same(const struct roster_note *a, const struct roster_note *b)
{
    struct span left = a->entries, right = b->entries;
    struct roster_entry one, other;
    must(a->birth == b->birth && a->previous == b->previous && a->version == b->version &&
             a->listed == b->listed,
         "the same head");
    while (roster_note_next(&left, &one)) {
        must(roster_note_next(&right, &other) && one.gone == other.gone &&
                 span_eq(one.member, other.member) && (one.gone || span_eq(one.value, other.value)),
             "the same entries");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct roster_note note, again;
    struct buf out = {0};
    char *copy = malloc(size > 0 ? size : 1); /* exactly as long: overruns show */
    memcpy(copy, data, size);
    struct span whole = span_of(copy, size);
    if (roster_note_read(whole, &note) == 0) {
        write_again(&note, count_entries(note.entries, whole), &out);
        must(roster_note_read(buf_span(&out), &again) == 0, "what was written is read");
        check_same(&note, &again);
    }
    buf_free(&out);
    free(copy);
    return 0;
}
