/* SPDX-License-Identifier: MIT */
/* app: what a serving process is made of, once, for those that build on it. */
#ifndef MUSTER_NODE_APP_APP_H
#define MUSTER_NODE_APP_APP_H

#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "node/core/name.h"
#include "node/core/pool.h"
#include "node/core/settings.h"
#include "node/core/wheel.h"
#include "node/net/net.h"
#include "node/proto/http/http.h"
#include "store/store.h"

/* Made and freed by the verb (node.c, sink.c); borrowed by all others. */
struct app {
    struct settings *settings;
    char node[NAME_SIZE]; /* its name in the fleet */
    bool worker;          /* others hold the same ports */
    struct loop *loop;
    struct wheel *wheel;
    struct job_pool *pool; /* NULL in a sink */
    struct metrics metrics;
    struct store *store;      /* NULL: a sink with --from */
    struct cidr_list trusted; /* proxies */
    struct net *net;
    struct http_server *http, *admin; /* the same where admin has no address of its own */
};

#endif
