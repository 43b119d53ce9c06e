/* SPDX-License-Identifier: MIT */
/* redis scout: asks the servers of a cluster, one after the other, which of them has which slots; the
 * first that answers is believed. */
#ifndef MUSTER_STORE_REDIS_SCOUT_H
#define MUSTER_STORE_REDIS_SCOUT_H

#include "store/redis/conn.h"
#include "store/redis/map.h"

struct resolver;
struct redis_scout;

enum { SCOUT_MS = 500 }; /* after which the next server is asked */

/* `map` is lent: what is taken of it is emptied there. NULL, with a text that says what each server
 * had to say, when none knows. The question is over then, and is to be cancelled. */
typedef void redis_scout_fn(void *arg, struct redis_map *map, const char *text);

/* New question, begun in the next turn, to the `count` places in `at` (copied), in this order.
 * `server` (whose login and TLS count), `tls` (NULL: none) and `resolver` are borrowed for its life;
 * `tries` grows from question to question: another address of each name is chosen. */
struct redis_scout *
redis_scout_ask(struct store *store, struct resolver *resolver, const struct redis_server *server,
                const struct redis_tls_files *tls, const struct redis_endpoint *at, size_t count,
                unsigned tries, redis_scout_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* Ends *scout and nulls it; NULL inside is fine. May be called inside `fn`. */
void redis_scout_cancel(struct redis_scout **scout);

#endif
