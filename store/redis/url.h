/* SPDX-License-Identifier: MIT */
/* redis url: where the servers of a store are; each is a shard.
 *
 *     redis://[user:pass@]host[:port][/db]          rediss:// over TLS
 *     redis+sentinel://[user:pass@]host[:port],host[:port]/name[?options]      rediss+sentinel://
 *     redis+cluster://[user:pass@]host[:port],host[:port]      rediss+cluster://: some of its servers
 *
 * Several with commas; behind each its name in the fleet may stand, "#name" (else: its address, or its
 * master's name): the name says which keys live there (store/partition.h), whatever the address. After redis:// and rediss:// the scheme may be left out; after the name of a
 * master it must be there. Options, joined by &: db=N, sentinel-user=U, sentinel-pass=P. User and
 * pass may hold percent-escapes (a comma, '@', ':', '/', '?' and '&' in them must be escaped) and
 * are meant for the servers, not for the sentinels. An IPv6 address stands in brackets.
 *
 * "old;new" are two such lists: the first one changes into the second one while nodes run
 * (docs/store.md#a-list-that-changes). A ';' in user or pass is escaped, too. */
#ifndef MUSTER_STORE_REDIS_URL_H
#define MUSTER_STORE_REDIS_URL_H

#include "store/redis/url_list.h"

/* As redis_url_parse_list, of a list or of two. */
int redis_url_parse(const char *text, struct redis_url *out, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Gives the servers of `url` the logins that they have in `text`. 0, or -1 with a message when those
 * are not the same servers in the same order; then `url` is as before. */
int redis_url_take_logins(struct redis_url *url, const char *text, char *error, size_t error_size)
    __attribute__((warn_unused_result));

#endif
