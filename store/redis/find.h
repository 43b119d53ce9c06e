/* SPDX-License-Identifier: MIT */
/* redis find: from a server of the URL to an address: the host it names or the master its sentinels
 * name, looked up. */
#ifndef MUSTER_STORE_REDIS_FIND_H
#define MUSTER_STORE_REDIS_FIND_H

#include "store/redis/conn.h"
#include "store/redis/url.h"

struct resolver;
struct redis_find;

/* `dial` is borrowed; NULL, with a text, when the server cannot be found. The search is over then,
 * and is to be ended; it may be ended inside. */
typedef void redis_find_fn(void *arg, const struct redis_dial *dial, const char *text);

/* New search. `resolver`, `server` and `files` are borrowed for its life. */
struct redis_find *redis_find_new(struct store *store, struct resolver *resolver,
                                  const struct redis_server *server,
                                  const struct redis_tls_files *files, redis_find_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* Begins; `tries` grows from try to try: another sentinel is asked, another address chosen. `fn`
 * may be called inside. */
void redis_find_start(struct redis_find *find, unsigned tries);

/* The server meant by now, for a person; borrowed until the next start. */
const struct redis_endpoint *redis_find_endpoint(const struct redis_find *find);

/* Gives up what is under way. */
void redis_find_stop(struct redis_find *find);

void redis_find_free(struct redis_find **find);

#endif
