/* SPDX-License-Identifier: MIT */
/* The Redis backend: a link per server; what the words of the store want, put into commands. Keys and
 * channels of a partition have its tag, {t} (store/partition.h); in a cluster all have one.
 *
 *     <prefix>:{t}:b:<topic>    channel of a topic (bus.c)
 *     <prefix>:{t}:r:<key>      hash of a roster key (roster.lua)
 *     <prefix>:{t}:w:<key>      channel of its changes
 *     <prefix>:{t}:s...         the stream (stream.c)
 *     <prefix>:{t}:l:<key>      a value of the lookup
 *     <prefix>:{t}:h:<key>      hash of a history (history.lua)
 *     <prefix>:{t}:n:<key>      channel of its new entries
 *     <prefix>:n                hash of the nodes' leases (roster_beat.lua)
 *     <prefix>:roll         who has a link to the server, and what they speak (roll.lua)
 *     <prefix>:wait         written before replicas are waited for (wait.h)
 *     <prefix>:proof:...    channel of a link's own messages */
#include "store/redis/redis.h"
#include "store/base/resp.h"
#include "store/redis/change.h"
#include "store/redis/inspect.h"
#include "store/redis/link.h"
#include "store/redis/roll.h"
#include "store/redis/route.h"
#include "store/redis/script.h"
#include "store/redis/scripts.h"
#include "store/redis/stream.h"
#include "store/redis/values.h"
#include "store/resolver/resolver.h"
#include "store/roster/impl.h"
#include "store/store_impl.h"

struct redis {
    struct backend backend;
    struct redis_url url;
    struct redis_tls_files files;
    struct redis_route *routes;    /* of each shard */
    struct redis_cluster *cluster; /* NULL: a server or a list of them */
    struct redis_change *change;   /* NULL: a list that stays */
    struct resolver *resolver;
};

static const struct redis_route *route_of(struct backend *backend, unsigned shard)
{
    return &CONTAINER_OF(backend, struct redis, backend)->routes[shard];
}

static struct redis_link *link_of(struct backend *backend, unsigned shard)
{
    return redis_route_link(route_of(backend, shard));
}

static void redis_subscribe(struct backend *backend, unsigned shard, const struct span *channels,
                            size_t count)
{
    struct redis_link *link = link_of(backend, shard);
    if (link != NULL) {
        redis_link_subscribe(link, channels, count, true);
    }
}

static void redis_unsubscribe(struct backend *backend, unsigned shard, const struct span *channels,
                              size_t count)
{
    struct redis_link *link = link_of(backend, shard);
    if (link != NULL) {
        redis_link_subscribe(link, channels, count, false);
    }
}

/* What was not published, since its partition has left, comes before the gap that its listeners hear of. */
static void on_guarded(void *arg, const redisReply *reply)
{
    (void)arg, (void)reply;
}

static int redis_publish(struct backend *backend, unsigned shard, struct span channel,
                         struct span head, struct span payload, bool quiet)
{
    struct redis_link *link = link_of(backend, shard);
    struct buf command = {0};
    if (link == NULL) {
        return -1;
    }
    resp_command(&command, 3);
    resp_word(&command, redis_link_publish_word(link));
    resp_word(&command, channel);
    resp_joined(&command, head, payload);
    const struct redis_route *route = route_of(backend, shard);
    int sent = route->moves != NULL && partition_of_channel(channel) >= 0
                   ? redis_route_command(route, channel, buf_span(&command), PATIENCE_NONE,
                                         on_guarded, NULL)
                   : redis_link_say(link, buf_span(&command), quiet);
    buf_free(&command);
    return sent;
}

static void redis_prove(struct backend *backend, unsigned shard)
{
    struct redis_link *link = link_of(backend, shard);
    if (link != NULL) {
        redis_link_prove(link);
    }
}

static struct span publish_word(struct backend *backend, unsigned shard)
{
    struct redis_link *link = link_of(backend, shard);
    return link != NULL ? redis_link_publish_word(link) : SPAN("PUBLISH");
}

static int redis_touch(struct backend *backend, unsigned shard, const struct roster_touch *touch,
                       backend_answer_fn *fn, void *arg)
{
    struct redis_script call;
    redis_script_begin(&call, &lua_roster, touch->key);
    redis_script_word(&call, publish_word(backend, shard));
    redis_script_word(&call, touch->channel);
    redis_script_number(&call, roster_life_us(backend->store) / 1000);
    redis_script_word(&call, touch->refresh ? SPAN("r") : SPAN(""));
    redis_script_word(&call, touch->snapshot ? SPAN("s") : SPAN(""));
    redis_script_number(&call, touch->token);
    for (size_t i = 0; i < touch->count; i++) {
        const struct roster_entry *entry = &touch->entries[i];
        redis_script_word(&call, entry->gone ? SPAN("-") : SPAN("+"));
        redis_script_word(&call, entry->member);
        if (entry->gone) {
            redis_script_number(&call, entry->token);
        } else {
            redis_script_word(&call, entry->value);
        }
    }
    return redis_script_run(&call, route_of(backend, shard), fn, arg);
}

static struct span redis_timeline(struct backend *backend, unsigned shard)
{
    return redis_route_timeline(route_of(backend, shard));
}

static int redis_beat(struct backend *backend, unsigned shard, const struct roster_beat *beat,
                      backend_answer_fn *fn, void *arg)
{
    struct redis_script call;
    struct buf key = {0};
    store_shard_key(backend->store, shard, "n", &key);
    redis_script_begin(&call, &lua_roster_beat, buf_span(&key));
    buf_free(&key);
    redis_script_word(&call, beat->node);
    redis_script_number(&call, beat->token);
    redis_script_number(&call, beat->birth);
    redis_script_number(&call, beat->version);
    redis_script_number(&call, beat->floor);
    redis_script_number(&call, beat->ttl_us);
    redis_script_number(&call, beat->beat_us);
    redis_script_number(&call, 2 * roster_life_us(backend->store) / 1000); /* outlives all keys */
    redis_script_word(&call, redis_timeline(backend, shard));
    return redis_script_run(&call, route_of(backend, shard), fn, arg);
}

static int stream_append_at(struct backend *backend, unsigned shard, const struct stream_call *call,
                            backend_answer_fn *fn, void *arg)
{
    return redis_stream_append(route_of(backend, shard), call, fn, arg);
}

static int stream_read_at(struct backend *backend, unsigned shard, const struct stream_query *query,
                          stream_read_fn *fn, void *arg)
{
    return redis_stream_read(route_of(backend, shard), query, fn, arg);
}

static int stream_state_at(struct backend *backend, unsigned shard,
                           const struct stream_marks *marks, backend_answer_fn *fn, void *arg)
{
    return redis_stream_state(route_of(backend, shard), marks, fn, arg);
}

static int stream_parts_at(struct backend *backend, unsigned shard, backend_answer_fn *fn,
                           void *arg)
{
    return redis_stream_parts(route_of(backend, shard), fn, arg);
}

static int redis_visit(struct backend *backend, unsigned shard, const struct lookup_visit *visit,
                       struct lookup_call *call)
{
    return redis_values_send(route_of(backend, shard), visit, call);
}

static size_t redis_queued(struct backend *backend, unsigned shard)
{
    struct redis_link *link = link_of(backend, shard);
    return link != NULL ? redis_link_queued(link) : 0;
}

static int redis_history(struct backend *backend, unsigned shard, const struct history_call *call,
                         backend_answer_fn *fn, void *arg)
{
    struct redis_script script;
    redis_script_begin(&script, &lua_history, call->key);
    switch (call->verb) {
    case HISTORY_APPEND:
        redis_script_word(&script, SPAN("a"));
        redis_script_word(&script, redis_timeline(backend, shard));
        redis_script_word(&script, publish_word(backend, shard));
        redis_script_word(&script, call->channel);
        redis_script_word(&script, call->writer);
        redis_script_number(&script, call->most);
        for (size_t i = 0; i < call->count; i++) {
            redis_script_number(&script, call->items[i].sequence);
            redis_script_word(&script, call->items[i].value);
        }
        break;
    case HISTORY_AFTER:
        redis_script_word(&script, SPAN("f"));
        redis_script_number(&script, call->birth);
        redis_script_word(&script, call->timeline);
        redis_script_number(&script, call->after);
        redis_script_word(&script, call->mark);
        redis_script_number(&script, call->limit);
        break;
    case HISTORY_NEWEST:
        redis_script_word(&script, SPAN("n"));
        redis_script_number(&script, call->offset);
        redis_script_number(&script, call->limit);
        break;
    }
    return call->verb == HISTORY_NEWEST
               ? redis_script_follow(&script, route_of(backend, shard), fn, arg)
               : redis_script_run(&script, route_of(backend, shard), fn, arg);
}

static void redis_leave(struct backend *backend)
{
    struct redis *redis = CONTAINER_OF(backend, struct redis, backend);
    if (redis->cluster != NULL) {
        redis_cluster_leave(redis->cluster);
    }
    for (unsigned i = 0; redis->cluster == NULL && i < backend->shards; i++) {
        redis_link_leave(link_of(backend, i));
    }
}

static int redis_replicated(struct backend *backend, unsigned shard, backend_answer_fn *fn,
                            void *arg)
{
    struct redis_link *link = link_of(backend, shard);
    return link != NULL ? redis_link_replicated(link, fn, arg) : -1;
}

static const char *redis_name(struct backend *backend, unsigned shard)
{
    struct redis *redis = CONTAINER_OF(backend, struct redis, backend);
    return redis->cluster != NULL ? redis_cluster_name(redis->cluster, shard)
                                  : redis->url.servers[shard].name;
}

static const char *redis_at(struct backend *backend, unsigned shard)
{
    struct redis_link *link = link_of(backend, shard);
    return link != NULL ? redis_link_at(link) : NULL;
}

static bool redis_ready(struct backend *backend, unsigned shard)
{
    struct redis_link *link = link_of(backend, shard);
    bool changes = CONTAINER_OF(backend, struct redis, backend)->change != NULL;
    return link != NULL && redis_link_ready(link) && (!changes || backend->store->shards[shard].up);
}

static int inspect(struct backend *backend, unsigned shard, store_server_fn *fn, void *arg)
{
    struct redis_link *link = link_of(backend, shard);
    const char *name = backend->tagged ? redis_name(backend, shard) : NULL;
    return link != NULL ? redis_inspect(link, shard, name, fn, arg) : -1;
}

static void redis_print_map(struct backend *backend, struct buf *out)
{
    struct redis *redis = CONTAINER_OF(backend, struct redis, backend);
    if (redis->cluster != NULL) {
        redis_cluster_print(redis->cluster, out);
    }
}

static int login_as(struct backend *backend, const char *url, char *error, size_t error_size)
{
    struct redis *redis = CONTAINER_OF(backend, struct redis, backend);
    int taken = redis_url_take_logins(&redis->url, url, error, error_size);
    if (redis->cluster != NULL) {
        redis_cluster_login(redis->cluster);
    }
    return taken;
}

static void free_files(struct redis_tls_files *files)
{
    free(files->ca);
    free(files->cert);
    free(files->key);
    free(files->peer_name);
}

static void redis_free(struct backend *backend)
{
    struct redis *redis = CONTAINER_OF(backend, struct redis, backend);
    bool own = redis->cluster == NULL && redis->change == NULL;
    for (unsigned i = 0; own && i < backend->shards; i++) {
        redis_link_free(&redis->routes[i].link);
    }
    if (redis->cluster != NULL) {
        redis_route_end_calls(redis_cluster_calls(redis->cluster));
    }
    redis_change_free(&redis->change);
    redis_cluster_free(&redis->cluster);
    resolver_free(&redis->resolver);
    free(redis->routes);
    redis_url_free(&redis->url);
    free_files(&redis->files);
    free(redis);
}

static char *path(const char *text)
{
    return text != NULL && text[0] != '\0' ? mem_dup(span_str(text)) : NULL;
}

static struct redis_tls_files files_of(const struct store_tls *tls)
{
    return (struct redis_tls_files){
        .ca = path(tls->ca),
        .cert = path(tls->cert),
        .key = path(tls->key),
        .peer_name = path(tls->server_name),
    };
}

static const struct redis_server *tls_server(const struct redis_url *url)
{
    for (size_t i = 0; i < url->count; i++) {
        if (url->servers[i].tls) {
            return &url->servers[i];
        }
    }
    return NULL;
}

/* The first option of TLS that is set; NULL: none. */
static const char *first_of(const struct redis_tls_files *files)
{
    return files->ca != NULL          ? "ca"
           : files->cert != NULL      ? "cert"
           : files->key != NULL       ? "key"
           : files->peer_name != NULL ? "server-name"
                                      : NULL;
}

static int try_files(const struct redis_tls_files *files, const struct redis_server *server,
                     const char **about, char *error, size_t error_size)
{
    const char *first = first_of(files);
    if (server == NULL && first != NULL) {
        *about = first;
        snprintf(error, error_size, "TLS is configured, but no server is rediss://");
        return -1;
    }
    if (files->key != NULL && files->cert == NULL) {
        *about = "key";
        snprintf(error, error_size, "TLS: a client key needs its certificate");
        return -1;
    }
    if (server == NULL) {
        return 0;
    }
    *about = redis_tls_wrong_file(files, error, error_size);
    return *about == NULL ? 0 : -1;
}

int redis_check(const char *url, const struct store_tls *tls, const char **about, char *error,
                size_t error_size)
{
    struct redis_url parsed = {0};
    *about = "url";
    if (url != NULL && redis_url_parse(url, &parsed, error, error_size) < 0) {
        return -1;
    }
    struct redis_tls_files files = files_of(tls);
    int result = try_files(&files, tls_server(&parsed), about, error, error_size);
    free_files(&files);
    redis_url_free(&parsed);
    return result;
}

/* ------------------------------------------------------------- the link of a shard of a list */

static void on_link(void *arg, bool up, const char *text)
{
    const struct redis_route *route = arg;
    struct shard_set only = shard_set_one(route->shard);
    store_on_link(route->store, &only, up, text);
}

static void on_moved(void *arg)
{
    const struct redis_route *route = arg;
    store_on_moved(route->store, route->shard);
}

static void on_proof(void *arg, uint64_t asked_us)
{
    const struct redis_route *route = arg;
    struct shard_set only = shard_set_one(route->shard);
    store_on_proof(route->store, &only, asked_us);
}

static unsigned list_rolls(void *arg, unsigned *shards)
{
    shards[0] = ((const struct redis_route *)arg)->shard;
    return 1;
}

static void open_list(struct redis *redis)
{
    static const struct redis_link_events events = {on_link,    on_moved, on_proof,
                                                    list_rolls, NULL,     NULL};
    struct backend *backend = &redis->backend;
    backend->shards = (unsigned)redis->url.count;
    redis_change_share_out(&redis->url, false, backend->owner);
    backend->store->servers = redis_url_list(&redis->url);
    redis->routes = mem_zalloc(backend->shards * sizeof(*redis->routes));
    for (unsigned i = 0; i < backend->shards; i++) {
        backend->lease_at[i] = (uint8_t)i;
    }
    if (redis->url.before != NULL) {
        redis->change =
            redis_change_new(backend, redis->routes, &redis->url, &redis->files, redis->resolver);
        return;
    }
    for (unsigned i = 0; i < backend->shards; i++) {
        struct redis_route *route = &redis->routes[i];
        route->store = backend->store;
        route->shard = i;
        route->link = redis_link_new(backend->store, &events, route, &redis->url.servers[i],
                                     &redis->files, redis->resolver);
    }
}

static void open_cluster(struct redis *redis)
{
    struct backend *backend = &redis->backend;
    backend->shards = PARTITIONS;
    backend->tagged = true;
    backend->store->servers = mem_dup(SPAN(REDIS_LIST_SLOTS));
    redis->cluster =
        redis_cluster_new(backend->store, &redis->url.servers[0], &redis->files, redis->resolver);
    redis->routes = mem_zalloc(PARTITIONS * sizeof(*redis->routes));
    for (unsigned p = 0; p < PARTITIONS; p++) {
        backend->owner[p] = (uint8_t)p;
        backend->lease_at[p] = redis_cluster_leases(p);
        redis->routes[p] = (struct redis_route){backend->store, p, NULL, redis->cluster, NULL};
    }
}

struct backend *redis_open(struct store *store, const char *url, const struct store_tls *tls)
{
    static const struct backend_ops ops = {
        .subscribe = redis_subscribe,
        .unsubscribe = redis_unsubscribe,
        .publish = redis_publish,
        .prove = redis_prove,
        .touch = redis_touch,
        .beat = redis_beat,
        .timeline = redis_timeline,
        .stream_append = stream_append_at,
        .stream_read = stream_read_at,
        .stream_state = stream_state_at,
        .stream_parts = stream_parts_at,
        .lookup = redis_visit,
        .history = redis_history,
        .leave = redis_leave,
        .replicated = redis_replicated,
        .name = redis_name,
        .at = redis_at,
        .ready = redis_ready,
        .login_as = login_as,
        .inspect = inspect,
        .print_map = redis_print_map,
        .queued = redis_queued,
        .free = redis_free,
    };
    struct redis *redis = mem_zalloc(sizeof(*redis));
    char error[128];
    if (redis_url_parse(url, &redis->url, error, sizeof(error)) < 0) {
        abort(); /* store_open has checked it */
    }
    redis->files = files_of(tls);
    redis->backend =
        (struct backend){.ops = &ops, .store = store, .parts = STREAM_PARTS, .pulses = true};
    redis->resolver = resolver_new(store->base);
    if (redis->url.servers[0].cluster) {
        open_cluster(redis);
    } else {
        open_list(redis);
    }
    return &redis->backend;
}
