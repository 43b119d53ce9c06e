#include "store/history/note.h"

#include "store/base/decimal.h"

#include <inttypes.h>

bool history_note_next(struct span *rest, struct history_record *record)
{
    uint64_t writer_len, value_len;
    struct span at = *rest;
    if (!decimal_cut(&at, ' ', &record->id) || !decimal_cut(&at, ' ', &record->sequence) ||
        !decimal_cut(&at, ' ', &writer_len) || !decimal_cut(&at, '\n', &value_len) ||
        writer_len > at.len || value_len > at.len - writer_len) {
        return false;
    }
    record->writer = span_of(at.ptr, writer_len);
    record->value = span_of(at.ptr + writer_len, value_len);
    *rest = span_skip(at, writer_len + value_len);
    return true;
}

int history_note_read(struct span bytes, struct history_note *note)
{
    uint64_t count = 0;
    if (!decimal_cut(&bytes, ' ', &note->birth) || !decimal_cut(&bytes, ' ', &note->last) ||
        !decimal_cut(&bytes, '\n', &count)) {
        return -1;
    }
    note->records = bytes;
    for (uint64_t i = 0; i < count; i++) {
        struct history_record record;
        if (!history_note_next(&bytes, &record)) {
            return -1;
        }
    }
    return bytes.len == 0 ? 0 : -1;
}

void history_note_head(struct buf *out, uint64_t birth, uint64_t last, size_t count)
{
    buf_printf(out, "%" PRIu64 " %" PRIu64 " %zu\n", birth, last, count);
}

void history_note_record(struct buf *out, const struct history_record *record)
{
    buf_printf(out, "%" PRIu64 " %" PRIu64 " %zu %zu\n", record->id, record->sequence,
               record->writer.len, record->value.len);
    buf_append(out, record->writer);
    buf_append(out, record->value);
}
