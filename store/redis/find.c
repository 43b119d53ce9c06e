/* SPDX-License-Identifier: MIT */
#include "store/redis/find.h"

#include "store/redis/lookup.h"
#include "store/redis/sentinel.h"
#include "store/store_impl.h"

struct redis_find {
    struct store *store;
    struct resolver *resolver;
    const struct redis_server *server;
    const struct redis_tls_files *tls; /* NULL: no TLS */
    redis_find_fn *fn;
    void *arg;
    unsigned tries;
    struct redis_endpoint master; /* what a sentinel said last; host NULL: nothing yet */
    struct redis_sentinel *sentinel;
    struct redis_lookup *lookup;
};

static void on_address(void *arg, const struct sockaddr *address, int len, const char *text)
{
    struct redis_find *find = arg;
    struct redis_dial dial = {find->store, address, len, redis_find_endpoint(find)->host,
                              find->tls};
    find->lookup = NULL;
    find->fn(find->arg, address != NULL ? &dial : NULL, text);
}

static void look_up(struct redis_find *find)
{
    struct redis_lookup *lookup = redis_lookup_start(
        find->store, find->resolver, redis_find_endpoint(find), find->tries, on_address, find);
    if (lookup != NULL) {
        find->lookup = lookup;
    }
}

static void on_master(void *arg, const struct redis_endpoint *master, const char *text)
{
    struct redis_find *find = arg;
    if (master == NULL) {
        find->fn(find->arg, NULL, text); /* ends this search, and `text` with it */
        return;
    }
    free(find->master.host);
    find->master = (struct redis_endpoint){mem_dup(span_str(master->host)), master->port};
    redis_sentinel_cancel(&find->sentinel);
    look_up(find);
}

struct redis_find *redis_find_new(struct store *store, struct resolver *resolver,
                                  const struct redis_server *server,
                                  const struct redis_tls_files *files, redis_find_fn *fn, void *arg)
{
    struct redis_find *find = mem_zalloc(sizeof(*find));
    find->store = store;
    find->resolver = resolver;
    find->server = server;
    find->tls = server->tls ? files : NULL;
    find->fn = fn;
    find->arg = arg;
    return find;
}

void redis_find_start(struct redis_find *find, unsigned tries)
{
    find->tries = tries;
    if (find->server->master != NULL) {
        find->sentinel = redis_sentinel_ask(find->store, find->resolver, find->server, find->tls,
                                            tries, on_master, find);
    } else {
        look_up(find);
    }
}

const struct redis_endpoint *redis_find_endpoint(const struct redis_find *find)
{
    return find->master.host != NULL ? &find->master : &find->server->at[0];
}

void redis_find_stop(struct redis_find *find)
{
    redis_sentinel_cancel(&find->sentinel);
    redis_lookup_cancel(&find->lookup);
}

void redis_find_free(struct redis_find **find)
{
    if (*find != NULL) {
        redis_find_stop(*find);
        free((*find)->master.host);
        free(*find);
        *find = NULL;
    }
}
