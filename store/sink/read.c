/* SPDX-License-Identifier: MIT */
/* How a lane gets its entries: while one batch flies the next is read, until it is full. */
#include "store/sink/impl.h"

#include "store/base/clock.h"

enum {
    IDLE_MS = 100,             /* between looks at a stream that had nothing */
    SINK_READ_READ_MOST = 256, /* however small they were of late: the next ones may be large */
    READ_BYTES = 2 * 1024 * 1024,
};

static void take(struct sink_lane *lane, const struct stream_entry *entry, uint64_t now)
{
    struct sink *sink = lane->sink;
    struct sink_item item = {entry->seq, entry->ordinal, (int64_t)entry->seq, entry->payload};
    bool hole = lane->read_ordinal > 0 && entry->ordinal > lane->read_ordinal + 1;
    sink->stats.missed += hole ? entry->ordinal - lane->read_ordinal - 1 : 0;
    sink_batch_add(lane->filling, &sink->options.codec, &item, now);
    lane->read_seq = entry->seq;
    lane->read_ordinal = entry->ordinal;
    lane->entry_bytes = (lane->entry_bytes * 15 + entry->payload.len) / 16;
}

static void on_read(void *arg, bool ok, const struct stream_entry *entries, size_t count)
{
    struct sink_lane *lane = arg;
    uint64_t now = clock_monotonic_ms();
    lane->reading = false;
    if (lane->read_generation == lane->generation && lane->state == LANE_RUNNING) {
        for (size_t i = 0; i < count; i++) {
            take(lane, &entries[i], now);
        }
        lane->read_at_ms = ok && count == lane->read_most ? now : now + IDLE_MS;
    }
    sink_lane_step(lane);
}

void sink_lane_read_more(struct sink_lane *lane, uint64_t now)
{
    const struct sink_options *options = &lane->sink->options;
    size_t room = options->rows > lane->filling->count ? options->rows - lane->filling->count : 0;
    size_t most = READ_BYTES / (lane->entry_bytes + 1) + 1;
    most = most < SINK_READ_READ_MOST ? most : SINK_READ_READ_MOST;
    most = most < room ? most : room;
    if (lane->reading || most == 0 || sink_batch_bytes(lane->filling) >= options->bytes ||
        now < lane->read_at_ms || lane->sink->stopping) {
        return;
    }
    lane->read_generation = lane->generation;
    lane->read_most = most;
    struct stream_from from = {lane->number, lane->read_seq};
    lane->reading = stream_read(options->store, &from, 1, most, on_read, lane) == 0;
    if (!lane->reading) {
        lane->read_at_ms = now + IDLE_MS;
    }
}
