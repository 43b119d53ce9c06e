/* SPDX-License-Identifier: MIT */
/* redis sentinel: asks sentinels, one after the other, which server is the master of a name. The
 * first that knows is believed; whether that server is a master indeed is for the link to see
 * (ROLE), as the guidelines for sentinel clients say
 * (https://redis.io/docs/latest/develop/reference/sentinel-clients/). */
#ifndef MUSTER_STORE_REDIS_SENTINEL_H
#define MUSTER_STORE_REDIS_SENTINEL_H

#include "store/redis/conn.h"
#include "store/redis/url.h"

struct resolver;
struct redis_sentinel;

enum { SENTINEL_MS = 500 }; /* after which the next sentinel is asked */

/* `master` is borrowed; NULL, with a text that says what each sentinel had to say, when none knows.
 * The question is over then, and is to be cancelled. */
typedef void redis_sentinel_fn(void *arg, const struct redis_endpoint *master, const char *text);

/* New question, begun in the next turn with sentinel number `first` (any number). `server`, `tls`
 * (NULL: none) and `resolver` are borrowed for its life. */
struct redis_sentinel *redis_sentinel_ask(struct store *store, struct resolver *resolver,
                                          const struct redis_server *server,
                                          const struct redis_tls_files *tls, unsigned first,
                                          redis_sentinel_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* Ends *sentinel and nulls it; NULL inside is fine. May be called inside `fn`. */
void redis_sentinel_cancel(struct redis_sentinel **sentinel);

#endif
