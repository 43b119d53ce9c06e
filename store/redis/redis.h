/* SPDX-License-Identifier: MIT */
/* redis: the backend that meets other nodes in one or more Redis servers. */
#ifndef MUSTER_STORE_REDIS_REDIS_H
#define MUSTER_STORE_REDIS_REDIS_H

#include <stddef.h>

struct backend;
struct store;
struct store_tls;

/* New; the URL was checked. Links are tried when the loop runs. */
struct backend *redis_open(struct store *store, const char *url, const struct store_tls *tls);

/* Checks the URL (NULL: no Redis) and the files without connecting. 0, or -1 with a message in
 * `error`, and `about` as store_check says it. */
int redis_check(const char *url, const struct store_tls *tls, const char **about, char *error,
                size_t error_size) __attribute__((warn_unused_result));

#endif
