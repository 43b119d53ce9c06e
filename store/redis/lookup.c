/* SPDX-License-Identifier: MIT */
#include "store/redis/lookup.h"

#include "store/resolver/resolver.h"
#include "store/store_impl.h"

#include <arpa/inet.h>
#include <netinet/in.h>

struct redis_lookup {
    struct store *store;
    struct resolver_query *query;
    redis_lookup_fn *fn;
    void *arg;
    unsigned pick;
    uint16_t port;
};

static void on_found(void *arg, const struct addrinfo *found, const char *why)
{
    struct redis_lookup lookup = *(struct redis_lookup *)arg;
    struct sockaddr_storage address;
    free(arg);
    store_enter(lookup.store);
    if (found == NULL) {
        lookup.fn(lookup.arg, NULL, 0, why);
    } else {
        socklen_t len = resolver_pick(found, lookup.pick, lookup.port, &address);
        lookup.fn(lookup.arg, (const struct sockaddr *)&address, (int)len, NULL);
    }
    store_leave(lookup.store);
}

/* True when the host is an address and `fn` was called with it. */
static bool is_address(const struct redis_endpoint *server, redis_lookup_fn *fn, void *arg)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(server->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(server->port)};
    if (inet_pton(AF_INET, server->host, &v4.sin_addr) == 1) {
        fn(arg, (const struct sockaddr *)&v4, sizeof(v4), NULL);
        return true;
    }
    if (inet_pton(AF_INET6, server->host, &v6.sin6_addr) == 1) {
        fn(arg, (const struct sockaddr *)&v6, sizeof(v6), NULL);
        return true;
    }
    return false;
}

struct redis_lookup *redis_lookup_start(struct store *store, struct resolver *resolver,
                                        const struct redis_endpoint *server, unsigned pick,
                                        redis_lookup_fn *fn, void *arg)
{
    if (is_address(server, fn, arg)) {
        return NULL;
    }
    struct redis_lookup *lookup = mem_zalloc(sizeof(*lookup));
    *lookup = (struct redis_lookup){store, NULL, fn, arg, pick, server->port};
    lookup->query = resolver_ask(resolver, server->host, on_found, lookup);
    return lookup;
}

void redis_lookup_cancel(struct redis_lookup **lookup)
{
    if (*lookup != NULL) {
        resolver_cancel(&(*lookup)->query);
        free(*lookup);
        *lookup = NULL;
    }
}
