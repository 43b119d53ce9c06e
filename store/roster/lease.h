/* SPDX-License-Identifier: MIT */
/* roster lease: what one server says of the nodes that live (roster_beat.lua), as of the last beat.
 *
 *     beat --> <W> <birth> <version> <last> <token> <listed>\n  then a line for each token that lives
 *
 * A node has one lease on each server, and its claims name it by a token: they live while it does.
 * A lease that ran out never lives again; its node gets another token, and claims again. Tokens
 * grow, so that one up to `last` that is not listed is over, and one above it is only news. */
#ifndef MUSTER_STORE_ROSTER_LEASE_H
#define MUSTER_STORE_ROSTER_LEASE_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LEASE_TIMELINE_MOST = 31 };

struct roster_lease {
    uint64_t token; /* of this node; 0: none yet */
    uint64_t birth; /* of the server's table of leases; 0: never seen */
    uint64_t version, last;
    uint64_t floor; /* the greatest token seen anywhere */
    uint64_t *live; /* growing */
    size_t count;
    bool grace; /* who is not listed may only not be back yet: none is over */
    char timeline[LEASE_TIMELINE_MOST + 1]; /* of the server, as of the last answer */
};

/* What an answer brought. */
struct roster_lease_news {
    bool renamed; /* this node has another token: nothing that it claimed before counts */
    bool reborn;  /* the server lost its table */
    bool listed;  /* other nodes live than before */
};

/* Reads the answer to a beat. 0, or -1 when it is none; then nothing changed. */
int roster_lease_read(struct roster_lease *lease, struct span answer,
                      struct roster_lease_news *news) __attribute__((warn_unused_result));

/* Is the lease of that token over for good? Never that of 0, which members without a lease have. */
bool roster_lease_is_over(const struct roster_lease *lease, uint64_t token);

/* A member of that token was seen. */
static inline void roster_lease_saw(struct roster_lease *lease, uint64_t token)
{
    lease->floor = token > lease->floor ? token : lease->floor;
}

/* Forgets the list; for the end. */
void roster_lease_deinit(struct roster_lease *lease);

#endif
