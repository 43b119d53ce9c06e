#include "store/history_note.h"

#include <inttypes.h>

enum {
    DIGITS_MOST = 19, /* of a number that surely fits in 64 bits */
};

/* Cuts a decimal number and the `end` byte behind it off *rest. */
static bool cut_number(struct span *rest, char end, uint64_t *number)
{
    size_t i = 0;
    *number = 0;
    while (i < rest->len && i < DIGITS_MOST && rest->ptr[i] >= '0' && rest->ptr[i] <= '9') {
        *number = *number * 10 + (uint64_t)(rest->ptr[i++] - '0');
    }
    if (i == 0 || i == rest->len || rest->ptr[i] != end) {
        return false;
    }
    *rest = span_skip(*rest, i + 1);
    return true;
}

bool history_note_next(struct span *rest, struct history_record *record)
{
    uint64_t writer_len, value_len;
    struct span at = *rest;
    if (!cut_number(&at, ' ', &record->id) || !cut_number(&at, ' ', &record->sequence) ||
        !cut_number(&at, ' ', &writer_len) || !cut_number(&at, '\n', &value_len) ||
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
    if (!cut_number(&bytes, ' ', &note->birth) || !cut_number(&bytes, ' ', &note->last) ||
        !cut_number(&bytes, '\n', &count)) {
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
