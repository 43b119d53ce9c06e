/* SPDX-License-Identifier: MIT */
/* inspect: the servers of a store, for a person: what this process knows of them, what they say of themselves. */
#ifndef MUSTER_STORE_INSPECT_H
#define MUSTER_STORE_INSPECT_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct store;

/* A server, as this process knows it; all borrowed until return. */
struct store_place {
    const char *name; /* without user and password */
    const char *at;   /* "host port" that the last link led to; NULL: there was none, or memory */
    struct span timeline; /* the history that it is in, "-" where it does not say (docs/store.md) */
    bool well;
};

/* Calls `fn` with each server. */
void store_each_server(const struct store *store,
                       void (*fn)(void *arg, const struct store_place *place), void *arg);

struct store_server {
    unsigned shard;
    const char *name; /* of one of a cluster; NULL: of a list, where `shard` counts */
    struct span info; /* Redis' INFO: lines of name:value; empty: it may not be asked */
    bool knows_time;
    int64_t ahead_us;   /* its clock before ours, with half the way to it as the error */
    uint64_t answer_us; /* from the question to the answer */
};

/* `server` is borrowed. */
typedef void store_server_fn(void *arg, const struct store_server *server);

/* Asks each server that can be reached; `fn` is called once for each, unless its link falls. Returns for
 * how many; 0 where there are none, as in memory. The store outlives the answers. */
unsigned store_inspect(struct store *store, store_server_fn *fn, void *arg);

/* Appends what a cluster looks like from here, a line for each server; nothing where there is none. */
void store_print_map(const struct store *store, struct buf *out);

#endif
