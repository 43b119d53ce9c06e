/* SPDX-License-Identifier: MIT */
#include "store/history/note.h"

#include "store/base/decimal.h"
#include "store/wire.h"

#include <inttypes.h>

bool history_note_next(struct span *rest, struct history_record *record)
{
    uint64_t writer_len, value_len;
    struct span at = *rest;
    struct span head = span_cut(&at, '\n');
    if (!decimal_cut(&head, ' ', &record->id) || !decimal_cut(&head, ' ', &record->sequence) ||
        !decimal_cut(&head, ' ', &writer_len) ||
        !decimal_read(span_cut(&head, ' '), UINT64_MAX, &value_len) || at.ptr == NULL ||
        writer_len > at.len || value_len > at.len - writer_len) {
        return false;
    }
    record->writer = span_of(at.ptr, writer_len);
    record->value = span_of(at.ptr + writer_len, value_len);
    *rest = span_skip(at, writer_len + value_len);
    return true;
}

bool history_note_writer(struct span *rest, struct span *writer, uint64_t *sequence)
{
    uint64_t len;
    struct span at = *rest;
    struct span head = span_cut(&at, '\n');
    if (!decimal_cut(&head, ' ', sequence) ||
        !decimal_read(span_cut(&head, ' '), UINT64_MAX, &len) || at.ptr == NULL || len > at.len) {
        return false;
    }
    *writer = span_of(at.ptr, len);
    *rest = span_skip(at, len);
    return true;
}

static int read_head(struct span *bytes, struct history_note *note, uint64_t *count,
                     uint64_t *writers)
{
    struct span head = span_cut(bytes, '\n');
    if (!wire_cut(&head, wire_own()) || !decimal_cut(&head, ' ', &note->birth)) {
        return -1;
    }
    note->timeline = span_cut(&head, ' ');
    bool good = decimal_cut(&head, ' ', &note->after) && decimal_cut(&head, ' ', &note->last) &&
                decimal_cut(&head, ' ', count) &&
                decimal_read(span_cut(&head, ' '), UINT64_MAX, writers);
    return good && bytes->ptr != NULL ? 0 : -1;
}

int history_note_read(struct span bytes, struct history_note *note)
{
    uint64_t count = 0, writers = 0;
    if (read_head(&bytes, note, &count, &writers) != 0) {
        return -1;
    }
    note->records = bytes;
    for (uint64_t i = 0; i < count; i++) {
        struct history_record record;
        if (!history_note_next(&bytes, &record)) {
            return -1;
        }
    }
    note->records.len -= bytes.len;
    note->writers = bytes;
    for (uint64_t i = 0; i < writers; i++) {
        struct span writer;
        uint64_t sequence;
        if (!history_note_writer(&bytes, &writer, &sequence)) {
            return -1;
        }
    }
    return bytes.len == 0 ? 0 : -1;
}

void history_note_head(struct buf *out, const struct history_note *note, size_t count,
                       size_t writers)
{
    buf_printf(out, "%d %" PRIu64 " %.*s %" PRIu64 " %" PRIu64 " %zu %zu\n", STORE_WIRE_TO,
               note->birth, SPAN_ARG(note->timeline), note->after, note->last, count, writers);
}

void history_note_put_writer(struct buf *out, struct span writer, uint64_t sequence)
{
    buf_printf(out, "%" PRIu64 " %zu\n", sequence, writer.len);
    buf_append(out, writer);
}

void history_note_record(struct buf *out, const struct history_record *record)
{
    buf_printf(out, "%" PRIu64 " %" PRIu64 " %zu %zu\n", record->id, record->sequence,
               record->writer.len, record->value.len);
    buf_append(out, record->writer);
    buf_append(out, record->value);
}
