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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_endpoint {
    char *host; /* address or name */
    uint16_t port;
};

struct redis_login {
    char *user; /* NULL: none */
    char *pass; /* NULL: none */
};

struct redis_server {
    char *name;                /* in the fleet: of several, each has another */
    struct redis_endpoint *at; /* the server; with `master` the sentinels to ask for it, with
                                  `cluster` some that know the others */
    size_t count;
    bool cluster;
    char *master; /* name that the sentinels know it by; NULL: no sentinels */
    bool tls;     /* to the server, and to the sentinels */
    struct redis_login login, sentinel_login;
    unsigned db;
    bool before, after; /* it is in the list that was, in the one that is to be; both, where none changes */
};

struct redis_url {
    struct redis_server *servers;
    size_t count;
    bool named; /* they have names that all nodes know */
    char *before, *after; /* the lists as redis_url_list has them; NULL: none changes */
};

/* Fills `out`, to be given to redis_url_free. Returns 0, or -1 with a message, which never shows a
 * password, in `error` (and nothing to free). */
int redis_url_parse(const char *text, struct redis_url *out, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Gives the servers of `url` the logins that they have in `text`. 0, or -1 with a message when those
 * are not the same servers in the same order; then `url` is as before. */
int redis_url_take_logins(struct redis_url *url, const char *text, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* New text of the list, the same for all nodes that have the same servers: their names in order; "one
 * server" for one without a name of its own, which each node may reach at another address. Of a list that
 * changes: both, with ';' between. */
char *redis_url_list(const struct redis_url *url);

void redis_url_free(struct redis_url *url);

#endif
