/* SPDX-License-Identifier: MIT */
/* redis url list: one list of servers, as url.h says it is written; a URL has one or two of them. */
#ifndef MUSTER_STORE_REDIS_URL_LIST_H
#define MUSTER_STORE_REDIS_URL_LIST_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REDIS_URL_SERVERS_MOST = 256 };

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
    bool before,
        after; /* it is in the list that was, in the one that is to be; both, where none changes */
};

struct redis_url {
    struct redis_server *servers;
    size_t count;
    bool named;           /* they have names that all nodes know */
    char *before, *after; /* the lists as redis_url_list has them; NULL: none changes */
};

/* Fills `out`, to be given to redis_url_free. Returns 0, or -1 with a message, which never shows a
 * password, in `error` (and nothing to free). */
int redis_url_parse_list(struct span rest, struct redis_url *out, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* New text of the list, the same for all nodes that have the same servers: their names in order; "one
 * server" for one without a name of its own, which each node may reach at another address. Of a list that
 * changes: both, with ';' between. */
char *redis_url_list(const struct redis_url *url);

void redis_url_free(struct redis_url *url);

#endif
