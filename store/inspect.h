/* SPDX-License-Identifier: MIT */
/* inspect: what the servers of a store say of themselves, for a person. */
#ifndef MUSTER_STORE_INSPECT_H
#define MUSTER_STORE_INSPECT_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct store;

struct store_server {
    unsigned shard;
    const char *name; /* of one of a cluster; NULL: of a list, where `shard` counts */
    struct span info; /* Redis' INFO: lines of name:value; empty: it may not be asked */
    bool knows_time;
    int64_t ahead_us; /* its clock before ours, with half the way to it as the error */
};

/* `server` is borrowed. */
typedef void store_server_fn(void *arg, const struct store_server *server);

/* Asks each server that can be reached; `fn` is called once for each, unless its link falls. Returns for
 * how many; 0 where there are none, as in memory. The store outlives the answers. */
unsigned store_inspect(struct store *store, store_server_fn *fn, void *arg);

#endif
