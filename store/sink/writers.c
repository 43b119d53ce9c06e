/* SPDX-License-Identifier: MIT */
/* What was stored of each writer: in log_writer, moved in the transaction that stores the rows. */
#include "store/sink/writers.h"
#include "store/sink/impl.h"

#include "store/base/decimal.h"

#include <inttypes.h>

static bool is_named(const struct span *named, size_t count, struct span node)
{
    for (size_t i = 0; i < count; i++) {
        if (span_eq(named[i], node)) {
            return true;
        }
    }
    return false;
}

static void put_call(const struct sink_lane *lane, struct buf *sql, const struct span *nodes,
                     size_t count)
{
    buf_append(sql, SPAN("select log_writer_move("));
    sink_quote(sql, span_str(lane->part->name));
    buf_printf(sql, ", %u, array[", lane->number);
    for (size_t i = 0; i < count; i++) {
        buf_append(sql, i > 0 ? SPAN(", ") : SPAN(""));
        sink_quote(sql, nodes[i]);
    }
    buf_append(sql, SPAN("], "));
}

/* The last of each writer, from the end. */
void sink_writers_put(const struct sink_lane *lane, struct buf *sql, size_t at, size_t count)
{
    struct span *named = mem_alloc((count > 0 ? count : 1) * sizeof(*named));
    struct buf calls = {0}, entries = {0};
    size_t writers = 0;
    for (size_t i = at + count; i > at; i--) {
        const struct sink_row *row = &lane->storing->row[i - 1];
        struct span node = sink_batch_node(lane->storing, i - 1);
        if (node.len == 0 || is_named(named, writers, node)) {
            continue;
        }
        named[writers++] = node;
        buf_printf(&calls, "%s%" PRIu64, calls.len > 0 ? "," : "", row->call);
        buf_printf(&entries, "%s%" PRIu32, entries.len > 0 ? "," : "", row->index);
    }
    if (writers > 0) {
        put_call(lane, sql, named, writers);
        buf_printf(sql, "'{%s}', '{%s}'); ", buf_text(&calls), buf_text(&entries));
    }
    buf_free(&calls);
    buf_free(&entries);
    free(named);
}

void sink_writers_ask(const struct sink_lane *lane, struct buf *sql)
{
    buf_append(sql, SPAN("(select string_agg(node || ' ' || call || ' ' || entry, e'\\n') "
                         "from log_writer where stream = "));
    sink_quote(sql, span_str(lane->part->name));
    buf_printf(sql, " and lane = %u)", lane->number);
}

void sink_writers_learn(struct sink_lane *lane, struct span lines)
{
    while (lines.len > 0) {
        struct span line = span_cut(&lines, '\n'), node = span_cut(&line, ' ');
        uint64_t call, index;
        if (decimal_cut(&line, ' ', &call) && decimal_read(line, UINT32_MAX, &index)) {
            stream_place_learn(&lane->place, node, call, (uint32_t)index);
        }
    }
}
