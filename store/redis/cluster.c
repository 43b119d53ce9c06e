/* SPDX-License-Identifier: MIT */
#include "store/redis/cluster.h"

#include "store/base/clock.h"
#include "store/base/list.h"
#include "store/base/timer.h"
#include "store/redis/roll.h"
#include "store/redis/scout.h"
#include "store/store_impl.h"

enum {
    SCOUT_EVERY_MS = 60 * 1000,
    SCOUT_PAUSE_MS = 200, /* at least, between two questions */
    SCOUT_AWAY_MS = 500,  /* while a partition is away */
    SERVER_KEPT_MS = 5 * 1000,
    LEARNED_MS = 2000, /* for which MOVED counts more than a map */
    CLUSTER_TICK_MS = 1000,
    LEASE_TABLES = 16,
    PLACES_MOST = 64, /* that are asked for the map, one after the other */
};

struct cluster_server {
    struct list entry;
    struct redis_cluster *cluster;
    struct redis_server server; /* its login is the URL's */
    struct redis_link *link;
    bool up;
    bool fell; /* since it had none of the partitions */
    unsigned partitions;
    unsigned slots, replicas; /* as the last map had it */
    uint64_t used_ms;         /* it had a partition, or was to take one over */
};

struct redis_cluster {
    struct store *store;
    const struct redis_server *url;
    const struct redis_tls_files *files;
    struct resolver *resolver;
    struct list servers; /* struct cluster_server */
    struct cluster_server *owner[PARTITIONS];
    uint64_t learned_ms[PARTITIONS]; /* MOVED last said where it is; 0: never */
    struct list calls;               /* route.c */
    bool plain;                      /* every server hears all */
    bool welcome;                    /* a roll has let this node in */
    bool mapped;
    unsigned slots; /* that the last map had */
    struct redis_scout *scout;
    unsigned scouts;
    uint64_t scouted_ms, wanted_ms; /* the last question; the next one, 0: not wanted */
    struct event *tick;
};

static const struct redis_link_events link_events;

static struct cluster_server *server_at(struct list *entry)
{
    return LIST_ITEM(entry, struct cluster_server, entry);
}

static void want_map(struct redis_cluster *cluster)
{
    uint64_t now = clock_monotonic_ms();
    uint64_t soonest = cluster->scouted_ms + SCOUT_PAUSE_MS;
    if (cluster->wanted_ms == 0) {
        cluster->wanted_ms = now > soonest ? now : soonest;
        timer_after(cluster->tick, cluster->wanted_ms - now);
    }
}

/* -------------------------------------------------------------------------------- the servers */

static struct cluster_server *find_server(const struct redis_cluster *cluster,
                                          const struct redis_endpoint *at)
{
    for (struct list *it = cluster->servers.next; it != &cluster->servers; it = it->next) {
        const struct redis_endpoint *own = &server_at(it)->server.at[0];
        if (own->port == at->port && strcmp(own->host, at->host) == 0) {
            return server_at(it);
        }
    }
    return NULL;
}

static struct cluster_server *get_server(struct redis_cluster *cluster,
                                         const struct redis_endpoint *at)
{
    struct cluster_server *server = find_server(cluster, at);
    struct buf name = {0};
    if (server == NULL) {
        server = mem_zalloc(sizeof(*server));
        server->cluster = cluster;
        server->server = (struct redis_server){
            .at = mem_alloc(sizeof(*at)),
            .count = 1,
            .tls = cluster->url->tls,
            .login = cluster->url->login,
        };
        server->server.at[0] = (struct redis_endpoint){mem_dup(span_str(at->host)), at->port};
        buf_printf(&name, "%s:%u", at->host, at->port);
        server->server.name = mem_dup(buf_span(&name));
        buf_free(&name);
        list_push_back(&cluster->servers, &server->entry);
        server->link = redis_link_new(cluster->store, &link_events, server, &server->server,
                                      cluster->files, cluster->resolver);
    }
    server->used_ms = clock_monotonic_ms();
    return server;
}

static void free_server(struct cluster_server *server)
{
    list_del(&server->entry);
    redis_link_free(&server->link);
    free(server->server.at[0].host);
    free(server->server.at);
    free(server->server.name);
    free(server);
}

static void free_unused(struct redis_cluster *cluster)
{
    uint64_t now = clock_monotonic_ms();
    LIST_EACH(it, &cluster->servers) {
        struct cluster_server *server = server_at(it);
        if (server->partitions > 0) {
            server->used_ms = now;
        } else if (server->fell || now - server->used_ms > SERVER_KEPT_MS) {
            free_server(server);
        }
    }
}

static struct shard_set partitions_of(const struct cluster_server *server)
{
    struct shard_set set = {{0}};
    for (unsigned p = 0; p < PARTITIONS; p++) {
        if (server->cluster->owner[p] == server) {
            shard_set_add(&set, p);
        }
    }
    return set;
}

/* ---------------------------------------------------------------------------------- the owners */

struct move {
    struct shard_set down, up;
    unsigned count; /* that had a server before */
};

static void set_owner(struct redis_cluster *cluster, unsigned partition,
                      struct cluster_server *server, struct move *move)
{
    struct cluster_server *old = cluster->owner[partition];
    if (old == server) {
        return;
    }
    cluster->owner[partition] = server;
    shard_set_add(&move->down, partition);
    if (old != NULL) {
        old->partitions--;
        old->used_ms = clock_monotonic_ms();
        move->count++;
    }
    if (server == NULL) {
        return;
    }
    server->partitions++;
    store_on_moved(cluster->store, partition);
    if (server->up) {
        shard_set_add(&move->up, partition);
    }
}

/* Partitions that move go down first: what their old server had of this node is over. */
static void tell_moves(struct redis_cluster *cluster, const struct move *move)
{
    cluster->store->stats.moves += move->count;
    if (!shard_set_is_empty(&move->down)) {
        store_on_link(cluster->store, &move->down, false, NULL);
    }
    if (!shard_set_is_empty(&move->up)) {
        store_on_link(cluster->store, &move->up, true, NULL);
    }
}

/* A partition that cannot be reached may have another server by now. */
static bool is_whole(const struct redis_cluster *cluster)
{
    unsigned p = 0;
    while (p < PARTITIONS && cluster->owner[p] != NULL && cluster->owner[p]->up) {
        p++;
    }
    return p == PARTITIONS;
}

/* Says MOVED of now what an older map does not? */
static bool knows_better(const struct redis_cluster *cluster, unsigned partition)
{
    uint64_t learned = cluster->learned_ms[partition];
    const struct cluster_server *owner = cluster->owner[partition];
    return learned != 0 && clock_monotonic_ms() - learned < LEARNED_MS && owner != NULL &&
           owner->up;
}

static void take_counts(struct redis_cluster *cluster, const struct redis_map *map)
{
    cluster->slots = map->slots;
    LIST_EACH(it, &cluster->servers) {
        server_at(it)->slots = server_at(it)->replicas = 0;
    }
    for (size_t i = 0; i < map->count; i++) {
        struct cluster_server *server = find_server(cluster, &map->servers[i].at);
        if (server != NULL) {
            server->slots = map->servers[i].slots;
            server->replicas = map->servers[i].replicas;
        }
    }
}

static void take_map(struct redis_cluster *cluster, const struct redis_map *map)
{
    struct move move = {{{0}}, {{0}}, 0};
    for (unsigned p = 0; p < PARTITIONS; p++) {
        int at = map->owner[p];
        if (!knows_better(cluster, p)) {
            set_owner(cluster, p, at < 0 ? NULL : get_server(cluster, &map->servers[at].at), &move);
        }
    }
    cluster->mapped = true;
    take_counts(cluster, map);
    tell_moves(cluster, &move);
}

static void move_one(struct redis_cluster *cluster, unsigned partition,
                     struct cluster_server *server)
{
    struct move move = {{{0}}, {{0}}, 0};
    set_owner(cluster, partition, server, &move);
    tell_moves(cluster, &move);
}

/* ------------------------------------------------------------------------------------ the map */

static void on_map(void *arg, struct redis_map *map, const char *text)
{
    struct redis_cluster *cluster = arg;
    if (map != NULL) {
        take_map(cluster, map);
    } else if (!cluster->mapped) {
        struct shard_set all;
        memset(&all, 0xff, sizeof(all));
        store_on_link(cluster->store, &all, false, text);
        want_map(cluster);
    } else {
        store_on_trouble(cluster->store, text);
        want_map(cluster);
    }
    redis_scout_cancel(&cluster->scout);
}

/* Those of the map first, beginning with another one each time; then those of the URL. */
static size_t list_places(const struct redis_cluster *cluster, struct redis_endpoint *places)
{
    size_t known = 0, count = 0;
    for (struct list *it = cluster->servers.next; it != &cluster->servers; it = it->next) {
        known += known < PLACES_MOST / 2;
    }
    for (struct list *it = cluster->servers.next; it != &cluster->servers; it = it->next) {
        if (count < known) {
            places[(count++ + cluster->scouts) % known] = server_at(it)->server.at[0];
        }
    }
    for (size_t i = 0; i < cluster->url->count && count < PLACES_MOST; i++) {
        places[count++] = cluster->url->at[(i + cluster->scouts) % cluster->url->count];
    }
    return count;
}

static void ask_map(struct redis_cluster *cluster)
{
    struct redis_endpoint places[PLACES_MOST];
    size_t count = list_places(cluster, places);
    const struct redis_tls_files *tls = cluster->url->tls ? cluster->files : NULL;
    cluster->scouted_ms = clock_monotonic_ms();
    cluster->wanted_ms = 0;
    cluster->scout = redis_scout_ask(cluster->store, cluster->resolver, cluster->url, tls, places,
                                     count, cluster->scouts++, on_map, cluster);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct redis_cluster *cluster = arg;
    struct store *store = cluster->store;
    uint64_t now = clock_monotonic_ms();
    (void)fd, (void)what;
    store_enter(store);
    uint64_t every = is_whole(cluster) ? SCOUT_EVERY_MS : SCOUT_AWAY_MS;
    bool due = cluster->scouted_ms == 0 || now - cluster->scouted_ms >= every ||
               (cluster->wanted_ms != 0 && now >= cluster->wanted_ms);
    if (due && cluster->scout == NULL) {
        ask_map(cluster);
    }
    free_unused(cluster);
    bool soon = cluster->wanted_ms != 0 || every == SCOUT_AWAY_MS;
    timer_after(cluster->tick, soon ? SCOUT_PAUSE_MS : CLUSTER_TICK_MS);
    store_leave(store);
}

/* ----------------------------------------------------------------------- what the links ask, tell */

static void on_link(void *arg, bool up, const char *text)
{
    struct cluster_server *server = arg;
    struct redis_cluster *cluster = server->cluster;
    struct shard_set set = partitions_of(server);
    server->up = up;
    server->fell = !up && server->partitions == 0;
    if (server->fell) {
        return; /* a master that was: nobody misses it */
    }
    store_on_link(cluster->store, &set, up, text);
    if (!up) {
        want_map(cluster);
    } else if (cluster->plain) {
        store_on_trouble(cluster->store,
                         "the cluster has no channels of slots, or the fleet began without: every "
                         "server hears every message");
    }
}

static void on_other_server(void *arg)
{
    (void)arg; /* a link's place stays; partitions move */
}

static void on_proof(void *arg, uint64_t asked_us)
{
    struct cluster_server *server = arg;
    struct shard_set set = partitions_of(server);
    store_on_proof(server->cluster->store, &set, asked_us);
}

static unsigned list_rolls(void *arg, unsigned *shards)
{
    const struct cluster_server *server = arg;
    unsigned count = 0;
    for (unsigned p = 0; p < PARTITIONS; p += PARTITIONS / LEASE_TABLES) {
        if (server->cluster->owner[p] == server) {
            shards[count++] = p;
        }
    }
    return count;
}

/* The highest: slots are given away from the lowest one on. */
static int tag_of(void *arg)
{
    const struct cluster_server *server = arg;
    int p = PARTITIONS - 1;
    while (p >= 0 && server->cluster->owner[p] != server) {
        p--;
    }
    return p;
}

static bool has(void *arg, unsigned partition)
{
    const struct cluster_server *server = arg;
    return server->cluster->owner[partition] == server;
}

static bool is_sharded(void *arg)
{
    return !((const struct cluster_server *)arg)->cluster->plain;
}

/* Links that speak of slots begin again. */
static void go_plain(void *arg, bool by_fleet)
{
    struct cluster_server *caller = arg;
    struct redis_cluster *cluster = caller->cluster;
    (void)by_fleet;
    cluster->plain = true;
    free(cluster->store->servers);
    cluster->store->servers = mem_dup(SPAN(REDIS_LIST_PLAIN));
    LIST_EACH(it, &cluster->servers) {
        if (server_at(it) != caller) {
            redis_link_again(server_at(it)->link, "channels of slots are not used");
        }
    }
}

static void on_redirected(void *arg, const struct redis_redirect *to)
{
    struct cluster_server *server = arg;
    struct redis_cluster *cluster = server->cluster;
    unsigned partition = partition_near(to->slot);
    want_map(cluster);
    if (to->kind == REDIRECT_UNSERVED) {
        return; /* it names no slot: the map says which */
    }
    if (partition_slot(partition) != to->slot || cluster->owner[partition] != server) {
        return; /* an older answer: another one has been heard since */
    }
    char *host =
        to->host.len > 0 ? mem_dup(to->host) : mem_dup(span_str(server->server.at[0].host));
    struct redis_endpoint at = {host, to->port};
    cluster->learned_ms[partition] = clock_monotonic_ms();
    move_one(cluster, partition, get_server(cluster, &at));
    free(host);
}

static void on_gave_up(void *arg, unsigned partition)
{
    struct cluster_server *server = arg;
    if (server->cluster->owner[partition] == server) {
        move_one(server->cluster, partition, NULL);
    }
    want_map(server->cluster);
}

static bool is_welcome(void *arg)
{
    return ((const struct cluster_server *)arg)->cluster->welcome;
}

static void on_welcomed(void *arg)
{
    struct redis_cluster *cluster = ((struct cluster_server *)arg)->cluster;
    bool first = !cluster->welcome;
    cluster->welcome = true;
    LIST_EACH(it, &cluster->servers) {
        if (first && server_at(it) != arg) {
            redis_link_welcome(server_at(it)->link);
        }
    }
}

static const struct redis_link_events link_events = {
    .link = on_link,
    .moved = on_other_server,
    .proof = on_proof,
    .rolls = list_rolls,
    .cluster =
        &(const struct redis_link_cluster){
            .tag = tag_of,
            .has = has,
            .is_sharded = is_sharded,
            .go_plain = go_plain,
            .redirected = on_redirected,
            .gave_up = on_gave_up,
            .is_welcome = is_welcome,
            .welcomed = on_welcomed,
        },
};

/* --------------------------------------------------------------------------------------- calls */

struct redis_cluster *redis_cluster_new(struct store *store, const struct redis_server *server,
                                        const struct redis_tls_files *files,
                                        struct resolver *resolver)
{
    struct redis_cluster *cluster = mem_zalloc(sizeof(*cluster));
    cluster->store = store;
    cluster->url = server;
    cluster->files = files;
    cluster->resolver = resolver;
    list_init(&cluster->servers);
    list_init(&cluster->calls);
    cluster->tick = evtimer_new(store->base, on_tick, cluster);
    timer_after(cluster->tick, 0);
    return cluster;
}

void redis_cluster_free(struct redis_cluster **cluster)
{
    struct redis_cluster *gone = *cluster;
    if (gone == NULL) {
        return;
    }
    *cluster = NULL;
    memset(gone->owner, 0, sizeof(gone->owner));
    redis_scout_cancel(&gone->scout);
    while (!list_empty(&gone->servers)) {
        free_server(server_at(gone->servers.next));
    }
    event_free(gone->tick);
    free(gone);
}

struct redis_link *redis_cluster_link(const struct redis_cluster *cluster, unsigned partition)
{
    return cluster->owner[partition] != NULL ? cluster->owner[partition]->link : NULL;
}

struct redis_link *redis_cluster_link_at(struct redis_cluster *cluster,
                                         const struct redis_endpoint *at)
{
    return get_server(cluster, at)->link;
}

const char *redis_cluster_name(const struct redis_cluster *cluster, unsigned partition)
{
    const struct cluster_server *owner = cluster->owner[partition];
    return owner != NULL     ? owner->server.name
           : cluster->mapped ? "a part of the cluster that no server has"
                             : "the cluster";
}

const char *redis_cluster_host(const struct redis_cluster *cluster, unsigned partition)
{
    const struct cluster_server *owner = cluster->owner[partition];
    return owner != NULL ? owner->server.at[0].host : NULL;
}

void redis_cluster_login(struct redis_cluster *cluster)
{
    LIST_EACH(it, &cluster->servers) {
        server_at(it)->server.login = cluster->url->login;
    }
}

void redis_cluster_leave(struct redis_cluster *cluster)
{
    LIST_EACH(it, &cluster->servers) {
        redis_link_leave(server_at(it)->link);
    }
}

void redis_cluster_print(const struct redis_cluster *cluster, struct buf *out)
{
    for (struct list *it = cluster->servers.next; it != &cluster->servers; it = it->next) {
        const struct cluster_server *server = server_at(it);
        buf_printf(out, "%s: %u slots, %u replica%s%s\n", server->server.name, server->slots,
                   server->replicas, server->replicas == 1 ? "" : "s",
                   server->up ? "" : ", not reached");
    }
    if (cluster->mapped && cluster->slots < CLUSTER_SLOTS) {
        buf_printf(out, "%u slots have no server\n", CLUSTER_SLOTS - cluster->slots);
    }
}

uint8_t redis_cluster_leases(unsigned partition)
{
    return (uint8_t)(partition - partition % (PARTITIONS / LEASE_TABLES));
}

struct list *redis_cluster_calls(struct redis_cluster *cluster)
{
    return &cluster->calls;
}
