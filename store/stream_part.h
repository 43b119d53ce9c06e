/* SPDX-License-Identifier: MIT */
/* stream part: a stream lies in one part, or in several, each in a partition of its own, so on a server
 * of its own where there are several. A part is complete in itself: it has an identity, timelines, marks,
 * numbers, and calls of the nodes (docs/store.md#parts-of-the-stream).
 *
 *     one server         part 0 has all lanes
 *     several servers    lane 0 16 32 48 in part 0, lane 1 17 33 49 in part 1, and so on */
#ifndef MUSTER_STORE_STREAM_PART_H
#define MUSTER_STORE_STREAM_PART_H

#include "store/stream_types.h"

struct store;

/* The partition in which it lies. */
unsigned stream_part_partition(unsigned part);

/* The shard that has it. */
unsigned stream_part_home(const struct store *store, unsigned part);

/* How many parts there may be: 1 in memory. */
unsigned stream_parts(const struct store *store);

/* Is each part written to, as far as there are lanes for it, and not only the first? */
bool stream_is_spread(const struct store *store);

/* The same, or it may be by other nodes before this one knows. */
bool stream_may_spread(const struct store *store);

/* The part into which a lane is written. */
unsigned stream_part_of_lane(const struct store *store, unsigned lane);

/* The lanes that a part can have: every `step`th from its own number on. Part 0 has any: it has them all
 * where the stream is not spread. */
static inline unsigned stream_part_step(unsigned part)
{
    return part == 0 ? 1 : STREAM_PARTS;
}

/* How many of them there are below lane number `lanes`. */
static inline unsigned stream_part_count(unsigned part, unsigned lanes)
{
    unsigned step = stream_part_step(part);
    return lanes > part ? (lanes - part + step - 1) / step : 0;
}

static inline unsigned stream_part_lane(unsigned part, unsigned index)
{
    return part + index * stream_part_step(part);
}

static inline unsigned stream_part_index(unsigned part, unsigned lane)
{
    return (lane - part) / stream_part_step(part);
}

/* Of a stream with so many lanes: one more than the number of the highest that is written into the part;
 * 0: none is. */
unsigned stream_part_lanes(const struct store *store, unsigned part, unsigned lanes);

#endif
