/* SPDX-License-Identifier: MIT */
/* Any bytes as a history note: what is taken can be walked, and written again it is the same. */
#include "store/history/note.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct history_note note, again;
    struct history_record record;
    if (history_note_read(span_of(data, size), &note) != 0) {
        return 0;
    }
    struct buf out = {0}, records = {0};
    struct span rest = note.records;
    size_t count = 0;
    while (history_note_next(&rest, &record)) {
        history_note_record(&records, &record);
        count++;
    }
    struct span writers = note.writers, writer;
    uint64_t sequence;
    size_t writer_count = 0;
    while (history_note_writer(&writers, &writer, &sequence)) {
        history_note_put_writer(&records, writer, sequence);
        writer_count++;
    }
    history_note_head(&out, &note, count, writer_count);
    buf_append(&out, buf_span(&records));
    if (rest.len != 0 || history_note_read(buf_span(&out), &again) != 0 ||
        again.birth != note.birth || again.last != note.last ||
        again.records.len + again.writers.len != records.len) {
        abort();
    }
    buf_free(&out);
    buf_free(&records);
    return 0;
}
