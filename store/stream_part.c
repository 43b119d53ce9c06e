/* SPDX-License-Identifier: MIT */
#include "store/stream_part.h"

#include "store/store_impl.h"
#include "store/stream_call.h"

enum { PART_STEP = PARTITIONS / STREAM_PARTS };

/* The parts that are used first are far from each other: a master of a cluster has partitions in a row. */
unsigned stream_part_partition(unsigned part)
{
    static const uint8_t order[STREAM_PARTS] = {0, 8, 4, 12, 2, 10, 6, 14,
                                                1, 9, 5, 13, 3, 11, 7, 15};
    return (partition_of(STREAM_HOME) + order[part] * PART_STEP) % PARTITIONS;
}

unsigned stream_part_home(const struct store *store, unsigned part)
{
    return store->backend->owner[stream_part_partition(part)];
}

unsigned stream_parts(const struct store *store)
{
    return store->backend->parts;
}

/* A list that grows from one server on: when all nodes know of it. */
static bool is_alone_yet(const struct store *store)
{
    const struct store_change *change = &store->change;
    unsigned before = 0;
    for (unsigned i = 0; i < store->backend->shards; i++) {
        before += shard_set_has(&change->was, i);
    }
    return change->after != NULL && before == 1 && !change->moving;
}

bool stream_may_spread(const struct store *store)
{
    return store->backend->shards > 1;
}

bool stream_is_spread(const struct store *store)
{
    return stream_may_spread(store) && store->wire_used >= STORE_WIRE_PARTS && !is_alone_yet(store);
}

unsigned stream_part_of_lane(const struct store *store, unsigned lane)
{
    return stream_is_spread(store) ? lane % STREAM_PARTS : 0;
}

unsigned stream_part_lanes(const struct store *store, unsigned part, unsigned lanes)
{
    if (part == 0 && !stream_is_spread(store)) {
        return lanes;
    }
    return lanes > part ? (lanes - 1 - part) / STREAM_PARTS * STREAM_PARTS + part + 1 : 0;
}
