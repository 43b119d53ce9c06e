/* SPDX-License-Identifier: MIT */
#include "store/sink/batch.h"

#include "store/base/mem.h"
#include "store/sink/batch.h"

#define DAY_US (86400LL * 1000000)

enum { KEPT_FACTOR = 4 }; /* a read may bring more than a batch takes, and buffers double */

void sink_batch_add(struct sink_batch *batch, const struct sink_codec *codec,
                    const struct sink_item *item, uint64_t now_ms)
{
    if (batch->count == batch->cap) {
        batch->cap = batch->cap > 0 ? batch->cap * 2 : 256;
        batch->row = mem_realloc(batch->row, batch->cap * sizeof(*batch->row));
    }
    batch->since_ms = batch->count == 0 ? now_ms : batch->since_ms;
    size_t before = batch->rows.len;
    const char *reason = NULL;
    if (codec->row(codec->arg, item, &batch->rows, &reason)) {
        reason = NULL;
    } else {
        batch->rows.len = before;
    }
    buf_append(&batch->raws, item->payload);
    buf_append(&batch->nodes, item->node);
    batch->row[batch->count++] = (struct sink_row){.seq = item->seq,
                                                   .ordinal = item->ordinal,
                                                   .time_us = item->time_us,
                                                   .rows_end = batch->rows.len,
                                                   .raws_end = batch->raws.len,
                                                   .nodes_end = batch->nodes.len,
                                                   .call = item->call,
                                                   .index = item->index,
                                                   .reason = reason};
}

static void empty(struct buf *buf, size_t keep)
{
    buf->len = 0;
    if (buf->cap > keep) {
        buf_free(buf);
    }
}

void sink_batch_clear(struct sink_batch *batch, size_t keep)
{
    empty(&batch->rows, keep * KEPT_FACTOR);
    empty(&batch->raws, keep * KEPT_FACTOR);
    empty(&batch->nodes, keep);
    batch->count = 0;
}

void sink_batch_free(struct sink_batch *batch)
{
    buf_free(&batch->rows);
    buf_free(&batch->raws);
    buf_free(&batch->nodes);
    free(batch->row);
    *batch = (struct sink_batch){0};
}

int64_t sink_day(int64_t time_us)
{
    return (time_us >= 0 ? time_us : time_us - DAY_US + 1) / DAY_US;
}

size_t sink_batch_run(const struct sink_batch *batch, size_t at, size_t most, size_t bytes)
{
    int64_t begin = sink_day(batch->row[at].time_us) * DAY_US, end = begin + DAY_US;
    size_t first = at > 0 ? batch->row[at - 1].rows_end : 0, count = 0;
    while (count < most && at + count < batch->count && batch->row[at + count].reason == NULL &&
           batch->row[at + count].time_us >= begin && batch->row[at + count].time_us < end &&
           (count == 0 || batch->row[at + count].rows_end - first <= bytes)) {
        count++;
    }
    return count;
}

struct span sink_batch_rows(const struct sink_batch *batch, size_t at, size_t count)
{
    size_t begin = at > 0 ? batch->row[at - 1].rows_end : 0;
    return span_of(batch->rows.ptr + begin, batch->row[at + count - 1].rows_end - begin);
}

struct span sink_batch_node(const struct sink_batch *batch, size_t at)
{
    size_t begin = at > 0 ? batch->row[at - 1].nodes_end : 0;
    return span_of(batch->nodes.ptr + begin, batch->row[at].nodes_end - begin);
}

struct span sink_batch_raw(const struct sink_batch *batch, size_t at)
{
    size_t begin = at > 0 ? batch->row[at - 1].raws_end : 0;
    return span_of(batch->raws.ptr + begin, batch->row[at].raws_end - begin);
}
