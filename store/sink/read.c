/* SPDX-License-Identifier: MIT */
/* How a lane gets its entries: while one batch is stored the next is read, until it is full. */
#include "store/sink/impl.h"

#include "store/base/clock.h"

#include <inttypes.h>

enum {
    IDLE_MS = 100,   /* between looks at a stream that had nothing */
    READ_MOST = 256, /* however small they were of late: the next ones may be large */
    READ_BYTES = 2 * 1024 * 1024,
};

static void say_missing(struct sink_lane *lane, uint64_t missing)
{
    struct sink *sink = lane->sink;
    struct buf text = {0};
    sink->stats.missed += missing;
    buf_printf(&text, "%" PRIu64 " of lane %u, before the one numbered %" PRIu64, missing,
               lane->number, lane->place.seq);
    sink->options.say(sink->options.arg, true,
                      "entries gone from the stream before they were stored", buf_text(&text));
    buf_free(&text);
}

static void take(struct sink_lane *lane, const struct stream_entry *entry, uint64_t now)
{
    struct sink *sink = lane->sink;
    uint64_t missing;
    bool fresh = stream_place_take(&lane->place, entry, &missing);
    if (missing > 0) {
        say_missing(lane, missing);
    }
    lane->entry_bytes = (lane->entry_bytes * 15 + entry->payload.len) / 16;
    if (!fresh) {
        sink->stats.repeated++;
        return;
    }
    struct sink_item item = {
        .seq = entry->seq,
        .ordinal = entry->ordinal,
        .time_us = (int64_t)entry->seq,
        .payload = entry->payload,
        .node = entry->node,
        .call = entry->call,
        .index = entry->index,
    };
    sink_batch_add(lane->filling, &sink->options.codec, &item, now);
}

/* Is what was read of the history that the lane stands in? Where the server is in another one, what
 * was read before is stored first; then the lane goes where it has to be read on. */
static bool is_of_its_history(struct sink_lane *lane, const struct stream_head *head)
{
    if (!sink_claim_is_ours(lane->part, head)) {
        sink_claim_note(lane->part, head);
        return false;
    }
    if (stream_place_is_in(&lane->place, head)) {
        return true;
    }
    lane->turning = sink_lane_unstored(lane) > 0;
    if (!lane->turning) {
        stream_place_follow(&lane->place, head);
        lane->read_at_ms = 0;
    }
    return false;
}

static void on_read(void *arg, bool ok, const struct stream_head *head,
                    const struct stream_entry *entries, size_t count)
{
    struct sink_lane *lane = arg;
    uint64_t now = clock_monotonic_ms();
    lane->reading = false;
    if (lane->read_generation == lane->generation && lane->state == LANE_RUNNING) {
        lane->read_at_ms = ok && count == lane->read_most ? now : now + IDLE_MS;
        bool good = ok && head->history.identity[0] != '\0' && is_of_its_history(lane, head);
        for (size_t i = 0; i < count && good; i++) {
            take(lane, &entries[i], now);
        }
    }
    sink_lane_step(lane);
}

void sink_lane_read_more(struct sink_lane *lane, uint64_t now)
{
    const struct sink_options *options = &lane->sink->options;
    size_t room = options->rows > lane->filling->count ? options->rows - lane->filling->count : 0;
    size_t most = READ_BYTES / (lane->entry_bytes + 1) + 1;
    most = most < READ_MOST ? most : READ_MOST;
    most = most < room ? most : room;
    if (lane->reading || most == 0 || sink_batch_bytes(lane->filling) >= options->bytes ||
        now < lane->read_at_ms || lane->sink->stopping ||
        (lane->turning && sink_lane_unstored(lane) > 0)) {
        return;
    }
    lane->read_generation = lane->generation;
    lane->read_most = most;
    struct stream_from from = {lane->number, lane->place.seq};
    lane->reading =
        stream_read(options->store, lane->part->number, &from, 1, most, on_read, lane) == 0;
    if (!lane->reading) {
        lane->read_at_ms = now + IDLE_MS;
    }
}
