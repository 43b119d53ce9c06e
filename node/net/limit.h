/* SPDX-License-Identifier: MIT */
/* limit: how often a client may do something: so many times a second in the long run, and a burst
 * at once (a token bucket).
 *
 * A bucket is one number, the moment at which it is full again (the generic cell rate algorithm,
 * ITU-T I.371): equal to counting tokens, with nothing to refill. All zero is full. */
#ifndef MUSTER_NODE_NET_LIMIT_H
#define MUSTER_NODE_NET_LIMIT_H

#include "node/net/address.h"

#include <stdbool.h>
#include <stdint.h>

struct limit_bucket {
    uint64_t full_ns; /* of a clock that never jumps */
};

/* May it be done now (`now_us`), at the cost of so many tokens? Takes them when it may. A full bucket
 * lets even more than the burst pass, and is in debt then. `per_second` 0 admits
 * all; a burst of 0 is one of 1. */
bool limit_take(struct limit_bucket *bucket, uint32_t per_second, uint32_t burst, uint32_t tokens,
                uint64_t now_us) __attribute__((warn_unused_result));

/* Takes one token whether there is one or not. Returns how far ahead of the clock that is, in
 * microseconds: the time until the bucket is full again. */
uint64_t limit_charge(struct limit_bucket *bucket, uint32_t per_second, uint64_t now_us);

/* A bucket for each source address, in a table that never grows: room for 65,536 sources, 1.5 MiB,
 * taken as it fills. IPv6 sources count by their /64, which is what one customer has. Where more
 * sources are active than the table holds, the one that was quietest is forgotten, so a flood stays
 * known. */
struct limit_table;

/* New. `per_second` 0 admits all. */
struct limit_table *limit_table_new(uint32_t per_second, uint32_t burst);
void limit_table_free(struct limit_table **table);

/* limit_take on the bucket of that source. */
bool limit_table_take(struct limit_table *table, const struct address *peer, uint32_t tokens,
                      uint64_t now_us) __attribute__((warn_unused_result));

#endif
