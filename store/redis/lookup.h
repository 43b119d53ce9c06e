/* SPDX-License-Identifier: MIT */
/* redis lookup: from a host of the URL to the address that is tried next. */
#ifndef MUSTER_STORE_REDIS_LOOKUP_H
#define MUSTER_STORE_REDIS_LOOKUP_H

#include "store/backend.h"
#include "store/redis/url.h"

#include <sys/socket.h>

struct redis_lookup;
struct resolver;

/* `address` is NULL, with a text, when the name has none. Never called after a cancel. */
typedef void redis_lookup_fn(void *arg, const struct sockaddr *address, int len, const char *text);

/* Looks up a host. `pick` chooses among several addresses: it counts the tries. Returns the lookup
 * under way, or NULL when `fn` was called already. */
struct redis_lookup *redis_lookup_start(struct store *store, struct resolver *resolver,
                                        const struct redis_endpoint *server, unsigned pick,
                                        redis_lookup_fn *fn, void *arg);

/* Ends *lookup and nulls it; NULL inside is fine. */
void redis_lookup_cancel(struct redis_lookup **lookup);

#endif
