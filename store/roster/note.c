/* SPDX-License-Identifier: MIT */
#include "store/roster/note.h"

#include "store/base/decimal.h"
#include "store/wire.h"

#include <inttypes.h>

bool roster_note_next(struct span *rest, struct roster_entry *entry)
{
    uint64_t name_len, value_len;
    if (rest->len == 0 || (rest->ptr[0] != '+' && rest->ptr[0] != '-')) {
        return false;
    }
    entry->gone = rest->ptr[0] == '-';
    *rest = span_skip(*rest, 1);
    if (!decimal_cut(rest, ' ', &name_len) || !decimal_cut(rest, ' ', &value_len) ||
        !decimal_cut(rest, '\n', &entry->token) || name_len > rest->len ||
        value_len > rest->len - name_len) {
        return false;
    }
    entry->member = span_of(rest->ptr, name_len);
    entry->value = span_of(rest->ptr + name_len, value_len);
    *rest = span_skip(*rest, name_len + value_len);
    return true;
}

int roster_note_read(struct span bytes, struct roster_note *note)
{
    uint64_t count = 0;
    struct span head = span_cut(&bytes, '\n');
    if (!wire_cut(&head, wire_own()) || bytes.ptr == NULL ||
        !decimal_cut(&head, ' ', &note->birth) || !decimal_cut(&head, ' ', &note->previous) ||
        !decimal_cut(&head, ' ', &note->version)) {
        return -1;
    }
    struct span listed = span_cut(&head, ' ');
    note->listed = !span_eq(listed, SPAN("-1"));
    if (note->listed && !decimal_read(listed, UINT64_MAX, &count)) {
        return -1;
    }
    note->entries = bytes;
    for (uint64_t i = 0; i < count; i++) {
        struct roster_entry entry;
        if (!roster_note_next(&bytes, &entry)) {
            return -1;
        }
    }
    return bytes.len == 0 ? 0 : -1;
}

void roster_note_head(struct buf *out, uint64_t birth, uint64_t previous, uint64_t version,
                      long count)
{
    buf_printf(out, "%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %ld\n", STORE_WIRE_TO, birth, previous,
               version, count);
}

void roster_note_entry(struct buf *out, const struct roster_entry *entry)
{
    size_t value_len = entry->gone ? 0 : entry->value.len;
    buf_printf(out, "%c%zu %zu %" PRIu64 "\n", entry->gone ? '-' : '+', entry->member.len,
               value_len, entry->token);
    buf_append(out, entry->member);
    buf_append(out, span_of(entry->value.ptr, value_len));
}
