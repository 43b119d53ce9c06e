/* allowance: how often somebody may do something: `rate` times a second in the long run, and
 * `burst` times at once (a token bucket). */
#ifndef MUSTER_NODE_NET_ALLOWANCE_H
#define MUSTER_NODE_NET_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

enum { ALLOWANCE_ONE = 1000 };

struct allowance {
    uint64_t left;     /* thousandths of once */
    uint64_t as_of_ms; /* monotonic */
};

static inline void allowance_init(struct allowance *allowance, uint32_t burst, uint64_t now_ms)
{
    *allowance = (struct allowance){(uint64_t)burst * ALLOWANCE_ONE, now_ms};
}

/* Once more: false when that is too often. */
static inline bool allowance_take(struct allowance *allowance, uint32_t rate, uint32_t burst,
                                  uint64_t now_ms)
{
    uint64_t most = (uint64_t)burst * ALLOWANCE_ONE;
    uint64_t grown = allowance->left + (now_ms - allowance->as_of_ms) * rate;
    allowance->left = grown < most ? grown : most;
    allowance->as_of_ms = now_ms;
    if (allowance->left < ALLOWANCE_ONE) {
        return false;
    }
    allowance->left -= ALLOWANCE_ONE;
    return true;
}

#endif
