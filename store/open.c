/* SPDX-License-Identifier: MIT */
/* The handle: opening, closing, the turn in which queued work is done, and releasing everything.
 *
 *     a call of bus.h or roster.h --> changes what is wanted, kicks a chore
 *     the turn: chores look at wanted against had, talk to the backend, tell watchers
 *     the backend --> store_on_*: tells watchers, kicks chores */
#include "store/store.h"

#include "store/base/check.h"
#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/bus_impl.h"
#include "store/bus_speaker.h"
#include "store/crowd.h"
#include "store/history/impl.h"
#include "store/memory/memory.h"
#include "store/redis/redis.h"
#include "store/redis/url.h"
#include "store/roster/impl.h"
#include "store/store_impl.h"
#include "store/stream_impl.h"
#include "store/stream_sleep.h"
#include "store/way.h"

#include <ctype.h>

enum {
    CHORES_PER_TURN = 64, /* each may tell a session's members something */
    CHORES_US = 500,      /* or, from here on, fewer: a sweep's run looks at hundreds */
    RELEASE_LIMIT_MS = 1000,
    NODE_MOST = 64,
    LEASE_LEAST_MS = 200,
};

static void finish_release(struct store *store)
{
    void (*done)(void *) = store->release_done;
    store->release_done = NULL;
    evtimer_del(store->release_limit);
    if (done != NULL && !store->closing) {
        done(store->release_arg);
    }
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct store *store = arg;
    (void)fd, (void)what;
    store_enter(store);
    uint64_t until_us = clock_monotonic_us() + CHORES_US;
    for (int left = CHORES_PER_TURN; left > 0 && !list_empty(&store->chores); left--) {
        struct chore *chore = LIST_ITEM(store->chores.next, struct chore, entry);
        list_del(&chore->entry);
        chore->run(chore);
        if (clock_monotonic_us() >= until_us) {
            break;
        }
    }
    bus_flush(store);
    roster_flush(store);
    if (!list_empty(&store->chores)) {
        timer_after(store->turn, 0);
    }
    if (store->release_done != NULL && store->roster.claims == 0) {
        finish_release(store);
    }
    store_leave(store);
}

static void on_release_limit(evutil_socket_t fd, short what, void *arg)
{
    struct store *store = arg;
    (void)fd, (void)what;
    store_enter(store);
    finish_release(store);
    store_leave(store);
}

void store_release_all(struct store *store, void (*done)(void *arg), void *arg)
{
    store->releasing = true;
    store->release_done = done;
    store->release_arg = arg;
    roster_release_every(store);
    store->backend->ops->leave(store->backend);
    timer_after(store->release_limit, RELEASE_LIMIT_MS);
    timer_after(store->turn, 0);
}

static void free_shards(struct store *store, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        bus_speakers_deinit(&store->shards[i].speakers);
        roster_lease_deinit(&store->shards[i].lease);
        free(store->shards[i].inbox);
        free(store->shards[i].beat); /* whose answer does not come any more */
        free(store->shards[i].wire_text);
        free(store->shards[i].refusal);
        free(store->shards[i].trouble);
    }
    free(store->shards);
}

static void store_free(struct store *store)
{
    unsigned shards = store->backend->shards;
    crowds_deinit(store);
    ways_deinit(store);
    store->backend->ops->free(store->backend);
    history_deinit(store);
    roster_deinit(store);
    stream_deinit(store);
    bus_deinit(store);
    buf_free(&store->lookup_name);
    buf_free(&store->lookup_value);
    buf_free(&store->lookup_old);
    event_free(store->release_limit);
    event_free(store->turn);
    free_shards(store, shards);
    free(store->prefix);
    free(store->node);
    free(store->servers);
    free(store);
}

void store_enter(struct store *store)
{
    store->depth++;
}

void store_leave(struct store *store)
{
    CHECK(store->depth > 0);
    if (--store->depth == 0 && store->closing) {
        store_free(store);
    }
}

void store_close(struct store **store)
{
    if (store == NULL || *store == NULL) {
        return;
    }
    struct store *gone = *store;
    *store = NULL;
    gone->closing = true;
    if (gone->depth == 0) {
        store_free(gone);
    }
}

/* Those of `which` for which that is news. */
static struct shard_set note_link(struct store *store, const struct shard_set *which, bool up,
                                  const char *text)
{
    struct shard_set news = {{0}};
    for (unsigned i = 0; i < store->backend->shards; i++) {
        struct shard *s = &store->shards[i];
        if (!shard_set_has(which, i)) {
            continue;
        }
        if (s->up != up || s->failed == up) {
            shard_set_add(&news, i);
        }
        s->up = up;
        s->failed = !up;
        if (up || text != NULL) {
            store_note_trouble(store, i, up ? NULL : text);
        }
    }
    return news;
}

void store_on_link(struct store *store, const struct shard_set *which, bool up, const char *text)
{
    struct shard_set news = note_link(store, which, up, text);
    if (store->observer.link != NULL && text != NULL && !store->closing) {
        store->observer.link(store->observer.arg, up, text);
    }
    if (!shard_set_is_empty(&news) && !store->closing) {
        bus_on_link(store, &news, up);
        crowds_on_link(store, &news, up);
        roster_on_link(store, &news, up);
        stream_on_link(store, &news, up);
        history_on_link(store, &news, up);
    }
}

void store_on_owner(struct store *store)
{
    if (!store->closing) {
        bus_on_owner(store);
        roster_on_owner(store);
        stream_on_owner(store);
        history_on_owner(store);
    }
}

void store_on_proof(struct store *store, const struct shard_set *which, uint64_t asked_us)
{
    crowds_on_proof(store, which, asked_us);
}

void store_on_pulse(struct store *store, unsigned shard)
{
    roster_pulse(store, shard);
    stream_sleep_pulse(store);
}

static bool is_memory(const char *url)
{
    return strcmp(url, "memory:") == 0;
}

int store_check_url(const char *url, char *error, size_t error_size)
{
    struct redis_url parsed;
    if (is_memory(url)) {
        return 0;
    }
    if (redis_url_parse(url, &parsed, error, error_size) < 0) {
        return -1;
    }
    redis_url_free(&parsed);
    return 0;
}

unsigned store_inspect(struct store *store, store_server_fn *fn, void *arg)
{
    struct backend *backend = store->backend;
    unsigned asked = 0;
    for (unsigned i = 0; backend->ops->inspect != NULL && i < backend->shards; i++) {
        if (!store_is_named_before(store, i)) {
            asked += backend->ops->inspect(backend, i, fn, arg) == 0;
        }
    }
    return asked;
}

int store_login_as(struct store *store, const char *url, char *error, size_t error_size)
{
    const struct backend_ops *ops = store->backend->ops;
    if (ops->login_as == NULL || is_memory(url)) {
        snprintf(error, error_size, "it names another kind of store");
        return -1;
    }
    return ops->login_as(store->backend, url, error, error_size);
}

static const char *wrong_option(const struct store_options *options)
{
    size_t len = options->node != NULL ? strlen(options->node) : 0;
    if (options->base == NULL || options->url == NULL) {
        return "a store needs an event base and a URL";
    }
    if (len == 0 || len > NODE_MOST) {
        return "the node's name must have 1 to 64 bytes";
    }
    for (size_t i = 0; i < len; i++) {
        if (!isgraph((unsigned char)options->node[i])) {
            return "the node's name must not have spaces or control characters";
        }
    }
    if (options->lease_ms < LEASE_LEAST_MS) {
        return "the lease must be 200ms at least";
    }
    return NULL;
}

static const char *wrong_choice(const struct store_options *options, const char **about)
{
    *about = "prefix";
    if (options->prefix == NULL || options->prefix[0] == '\0') {
        return "the prefix must not be empty";
    }
    if (strpbrk(options->prefix, "{}") != NULL) {
        return "the prefix must not have braces";
    }
    *about = "replicas";
    if (options->replicas > 0 && is_memory(options->url)) {
        return "memory: has no replicas to wait for";
    }
    return NULL;
}

int store_check(const struct store_options *options, const char **about, char *error,
                size_t error_size)
{
    const char *wrong = wrong_choice(options, about);
    if (wrong != NULL) {
        snprintf(error, error_size, "%s", wrong);
        return -1;
    }
    return redis_check(is_memory(options->url) ? NULL : options->url, &options->tls, about, error,
                       error_size);
}

static void make_shards(struct store *store)
{
    store->shards = mem_zalloc(store->backend->shards * sizeof(*store->shards));
    for (unsigned i = 0; i < store->backend->shards; i++) {
        list_init(&store->shards[i].asking);
        list_init(&store->shards[i].leaving);
        map_init(&store->shards[i].speakers);
        map_init(&store->shards[i].ways);
        list_init(&store->shards[i].kept);
        list_init(&store->shards[i].queue);
    }
}

struct store *store_open(const struct store_options *options, char *error, size_t error_size)
{
    const char *wrong = wrong_option(options), *about;
    if (wrong != NULL) {
        snprintf(error, error_size, "%s", wrong);
        return NULL;
    }
    if (store_check(options, &about, error, error_size) < 0) {
        return NULL;
    }
    struct store *store = mem_zalloc(sizeof(*store));
    store->base = options->base;
    store->prefix = mem_dup(span_str(options->prefix));
    store->node = mem_dup(span_str(options->node));
    store->lease_ms = options->lease_ms;
    store->wire = options->wire.to != 0 ? options->wire : wire_own();
    store->wire_most = options->wire.to != 0 ? options->wire.to : STORE_WIRE_PARTS;
    store->wire_shared = store->wire_used = store->wire_most;
    store->visitor = options->visitor;
    store->replicas = options->replicas;
    store->observer = options->observer;
    list_init(&store->chores);
    store->turn = evtimer_new(store->base, on_turn, store);
    store->release_limit = evtimer_new(store->base, on_release_limit, store);
    bus_init(store);
    ways_init(store);
    crowds_init(store);
    roster_init(store);
    stream_init(store);
    history_init(store);
    store->backend = is_memory(options->url) ? memory_open(store, options->hub)
                                             : redis_open(store, options->url, &options->tls);
    make_shards(store);
    stream_find_homes(store);
    return store;
}
