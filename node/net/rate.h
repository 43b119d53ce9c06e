/* rate: how often each peer may. A token bucket per source address in a table that never grows.
 *
 * A bucket is one number, the moment at which it is full again (the generic cell rate algorithm,
 * ITU-T I.371): equal to counting tokens, with nothing to refill. IPv6 sources count by their /64,
 * which is what one customer has. Where more sources are active than the table holds, the one that
 * was quietest is forgotten, so a flood stays known. */
#ifndef MUSTER_NODE_NET_RATE_H
#define MUSTER_NODE_NET_RATE_H

#include "node/net/address.h"

#include <stdbool.h>
#include <stdint.h>

struct rate;

/* New: `per_second` on average and `burst` at a stretch for each source. `per_second` 0 admits all.
 * The table has room for 65,536 sources: 1.5 MiB, taken as it fills. */
struct rate *rate_new(uint32_t per_second, uint32_t burst);
void rate_free(struct rate **rate);

/* May `peer` do what costs so many tokens now, at `now_us` of a clock that never jumps? Takes them
 * when it may. A full bucket lets even more than the burst pass, and is in debt then. */
bool rate_take(struct rate *rate, const struct address *peer, uint32_t tokens, uint64_t now_us);

#endif
