/* SPDX-License-Identifier: MIT */
/* redis follow: while a link is up, asks its sentinels on each beat which server is the master, so
 * that a planned fail-over is followed at once, and not when the old master is demoted, up to ten
 * seconds later. One sentinel is asked, over a connection that stays; another server counts when a
 * second sentinel names it, too: one alone may be the one that has not heard. */
#ifndef MUSTER_STORE_REDIS_FOLLOW_H
#define MUSTER_STORE_REDIS_FOLLOW_H

#include "store/redis/conn.h"
#include "store/redis/url.h"

struct resolver;
struct redis_follow;

/* The sentinels name another master. */
typedef void redis_follow_fn(void *arg);

/* New, idle. All is borrowed for its life; `tls` NULL: none. */
struct redis_follow *
redis_follow_new(struct store *store, struct resolver *resolver, const struct redis_server *server,
                 const struct redis_tls_files *tls, redis_follow_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* Asks whether `at` (as the sentinels named it) is still the master. One that did not answer since
 * the last beat is left for the next one. */
void redis_follow_beat(struct redis_follow *follow, const struct redis_endpoint *at);

/* Closes its connection; until the next beat. May be called inside `fn`. */
void redis_follow_stop(struct redis_follow *follow);

void redis_follow_free(struct redis_follow **follow);

#endif
