/* SPDX-License-Identifier: MIT */
/* sink batch: entries made into rows, with what is needed to send any part of them and to say what
 * a bad one was. No I/O.
 *
 *     rows  |row 0|row 1|row 2|...      binary COPY
 *     raws  |raw 0|raw 1|raw 2|...      as they came
 *     nodes |node 0|node 1|node 2|...    their writers */
#ifndef MUSTER_STORE_SINK_BATCH_H
#define MUSTER_STORE_SINK_BATCH_H

#include "store/sink/item.h"

#include <stdbool.h>
#include <stdint.h>

struct sink_row {
    uint64_t seq, ordinal;
    int64_t time_us;
    size_t rows_end, raws_end, nodes_end;
    uint64_t call;
    uint32_t index;
    const char *reason; /* why it is no row, static; NULL: it is one */
};

struct sink_batch {
    struct buf rows, raws, nodes;
    struct sink_row *row;
    size_t count, cap;
    uint64_t since_ms; /* monotonic: when the first one came */
};

void sink_batch_add(struct sink_batch *batch, const struct sink_codec *codec,
                    const struct sink_item *item, uint64_t now_ms);

/* Empties it; memory for about `keep` bytes of rows stays for the next one. */
void sink_batch_clear(struct sink_batch *batch, size_t keep);
void sink_batch_free(struct sink_batch *batch);

/* How many rows from `at` on, `most` at most, go together: of one day, up to one that is no row, and
 * no more than `bytes` but for a row that is larger alone; 0 when `at` itself is none. */
size_t sink_batch_run(const struct sink_batch *batch, size_t at, size_t most, size_t bytes);

/* The bytes of the rows from `at` on. */
struct span sink_batch_rows(const struct sink_batch *batch, size_t at, size_t count);
struct span sink_batch_node(const struct sink_batch *batch, size_t at);
struct span sink_batch_raw(const struct sink_batch *batch, size_t at);

/* Bytes of rows. */
static inline size_t sink_batch_bytes(const struct sink_batch *batch)
{
    return batch->rows.len;
}

/* Days since 1970, UTC. */
int64_t sink_day(int64_t time_us);

#endif
