/* SPDX-License-Identifier: MIT */
#include "store/redis/lookup.h"

#include "store/store_impl.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>

struct redis_lookup {
    struct store *store;
    struct evdns_getaddrinfo_request *request;
    redis_lookup_fn *fn; /* NULL: cancelled */
    void *arg;
    unsigned pick;
    bool starting; /* redis_lookup_start has not returned yet */
    bool done;
};

static void hand_over(struct redis_lookup *lookup, struct evutil_addrinfo *found, int error)
{
    const struct evutil_addrinfo *one = found;
    unsigned count = 0;
    for (const struct evutil_addrinfo *it = found; it != NULL; it = it->ai_next) {
        count++;
    }
    if (count == 0) {
        lookup->fn(lookup->arg, NULL, 0,
                   error != 0 ? evutil_gai_strerror(error) : "the name has no address");
        return;
    }
    for (unsigned skip = lookup->pick % count; skip > 0; skip--) {
        one = one->ai_next;
    }
    lookup->fn(lookup->arg, one->ai_addr, (int)one->ai_addrlen, NULL);
}

static void on_found(int error, struct evutil_addrinfo *found, void *arg)
{
    struct redis_lookup *lookup = arg;
    struct store *store = lookup->store;
    lookup->done = true;
    if (lookup->fn != NULL) {
        store_enter(store);
        hand_over(lookup, found, error);
    }
    bool entered = lookup->fn != NULL;
    if (found != NULL) {
        evutil_freeaddrinfo(found);
    }
    if (!lookup->starting) {
        free(lookup);
    }
    if (entered) {
        store_leave(store);
    }
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

struct redis_lookup *redis_lookup_start(struct store *store, struct evdns_base **dns,
                                        const struct redis_endpoint *server, unsigned pick,
                                        redis_lookup_fn *fn, void *arg)
{
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char port[8];
    if (is_address(server, fn, arg)) {
        return NULL;
    }
    if (*dns == NULL) {
        *dns = evdns_base_new(store->base,
                              EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    }
    if (*dns == NULL) {
        fn(arg, NULL, 0, "no resolver: /etc/resolv.conf cannot be used");
        return NULL;
    }
    struct redis_lookup *lookup = mem_zalloc(sizeof(*lookup));
    lookup->store = store;
    lookup->fn = fn;
    lookup->arg = arg;
    lookup->pick = pick;
    lookup->starting = true;
    snprintf(port, sizeof(port), "%u", server->port);
    lookup->request = evdns_getaddrinfo(*dns, server->host, port, &hints, on_found, lookup);
    lookup->starting = false;
    if (lookup->done) {
        free(lookup);
        return NULL;
    }
    return lookup;
}

void redis_lookup_cancel(struct redis_lookup **lookup)
{
    if (*lookup == NULL) {
        return;
    }
    struct redis_lookup *gone = *lookup;
    *lookup = NULL;
    gone->fn = NULL;
    evdns_getaddrinfo_cancel(gone->request); /* on_found frees it, in a later turn */
}
