/* SPDX-License-Identifier: MIT */
#include "store/redis/map.h"

#include "store/base/mem.h"

static bool is_array(const redisReply *reply, size_t least)
{
    return reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements >= least;
}

static bool has_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

static bool is_text(const redisReply *reply, const char *text)
{
    return has_text(reply) && strcmp(reply->str, text) == 0;
}

/* Does it name a host? */
static bool is_host(const redisReply *reply)
{
    return reply != NULL && has_text(reply) && reply->str[0] != '\0' &&
           strcmp(reply->str, "?") != 0;
}

/* The value behind `name` in an array of names and values; NULL: there is none. */
static const redisReply *field(const redisReply *pairs, const char *name)
{
    for (size_t i = 0; is_array(pairs, 2) && i + 1 < pairs->elements; i += 2) {
        if (is_text(pairs->element[i], name)) {
            return pairs->element[i + 1];
        }
    }
    return NULL;
}

static struct redis_map_server *add_server(struct redis_map *map, const redisReply *host,
                                           long long port, const char *asked)
{
    map->servers = mem_realloc(map->servers, (map->count + 1) * sizeof(*map->servers));
    map->servers[map->count] = (struct redis_map_server){
        .at = {mem_dup(span_str(is_host(host) ? host->str : asked)), (uint16_t)port}};
    return &map->servers[map->count++];
}

static bool is_range(const redisReply *from, const redisReply *to)
{
    return from->type == REDIS_REPLY_INTEGER && to->type == REDIS_REPLY_INTEGER &&
           from->integer >= 0 && from->integer <= to->integer && to->integer < CLUSTER_SLOTS;
}

/* 0, or -1 where another range has some of it: how many slots nobody has could not be said. */
static int give(struct redis_map *map, size_t server, unsigned from, unsigned to)
{
    for (unsigned slot = from; slot <= to; slot++) {
        uint8_t bit = (uint8_t)(1U << slot % 8);
        if ((map->given[slot / 8] & bit) != 0) {
            return -1;
        }
        map->given[slot / 8] |= bit;
    }
    map->servers[server].slots += to - from + 1;
    map->slots += to - from + 1;
    for (unsigned p = partition_near(from); p <= partition_near(to); p++) {
        unsigned slot = partition_slot(p);
        if (slot >= from && slot <= to) {
            map->owner[p] = (int)server;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------ CLUSTER SHARDS */

/* "loading" is also what is said of a replica of which nothing was heard yet. */
static bool is_well(const redisReply *node)
{
    const redisReply *health = field(node, "health");
    return health == NULL || !is_text(health, "fail");
}

static const redisReply *find_master(const redisReply *nodes, unsigned *replicas)
{
    const redisReply *master = NULL;
    *replicas = 0;
    for (size_t i = 0; is_array(nodes, 1) && i < nodes->elements; i++) {
        const redisReply *node = nodes->element[i], *role = field(node, "role");
        if (role != NULL && is_text(role, "master") && (master == NULL || is_well(node))) {
            master = node;
        } else if (role != NULL && !is_text(role, "master")) {
            *replicas += is_well(node);
        }
    }
    return master;
}

/* ["slots", [from, to, ...], "nodes", [[...], ...]] */
static int read_shard(struct redis_map *map, const redisReply *shard, const char *asked, bool tls)
{
    unsigned replicas;
    const redisReply *slots = field(shard, "slots");
    const redisReply *master = find_master(field(shard, "nodes"), &replicas);
    if (!is_array(slots, 2) || master == NULL) {
        return 0; /* without slots */
    }
    const redisReply *port = field(master, tls ? "tls-port" : "port");
    const redisReply *host = field(master, "endpoint");
    if (port == NULL || port->type != REDIS_REPLY_INTEGER || port->integer <= 0 ||
        port->integer > UINT16_MAX) {
        return -1;
    }
    add_server(map, host, port->integer, asked)->replicas = replicas;
    for (size_t i = 0; i + 1 < slots->elements; i += 2) {
        if (!is_range(slots->element[i], slots->element[i + 1]) ||
            give(map, map->count - 1, (unsigned)slots->element[i]->integer,
                 (unsigned)slots->element[i + 1]->integer) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------- CLUSTER SLOTS */

static size_t find_server(const struct redis_map *map, const redisReply *host, long long port,
                          const char *asked)
{
    const char *name = is_host(host) ? host->str : asked;
    size_t at = 0;
    while (at < map->count &&
           (map->servers[at].at.port != port || strcmp(map->servers[at].at.host, name) != 0)) {
        at++;
    }
    return at;
}

/* [from, to, [host, port, id, ...] of the master, the same for each replica] */
static int read_range(struct redis_map *map, const redisReply *range, const char *asked)
{
    if (!is_array(range, 3) || !is_range(range->element[0], range->element[1]) ||
        !is_array(range->element[2], 2) ||
        range->element[2]->element[1]->type != REDIS_REPLY_INTEGER) {
        return -1;
    }
    const redisReply *host = range->element[2]->element[0];
    long long port = range->element[2]->element[1]->integer;
    if (port <= 0 || port > UINT16_MAX) {
        return -1;
    }
    size_t server = find_server(map, host, port, asked);
    if (server == map->count) {
        add_server(map, host, port, asked);
    }
    map->servers[server].replicas = (unsigned)range->elements - 3;
    return give(map, server, (unsigned)range->element[0]->integer,
                (unsigned)range->element[1]->integer);
}

/* ---------------------------------------------------------------------------------------- both */

int redis_map_read(struct redis_map *map, const redisReply *reply, const char *asked, bool tls)
{
    int good = is_array(reply, 1) ? 0 : -1;
    *map = (struct redis_map){0};
    for (unsigned p = 0; p < PARTITIONS; p++) {
        map->owner[p] = -1;
    }
    for (size_t i = 0; good == 0 && i < reply->elements; i++) {
        const redisReply *one = reply->element[i];
        bool ranges = is_array(one, 1) && one->element[0]->type == REDIS_REPLY_INTEGER;
        good = ranges ? read_range(map, one, asked) : read_shard(map, one, asked, tls);
    }
    if (good < 0) {
        redis_map_free(map);
    }
    return good;
}

void redis_map_free(struct redis_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        free(map->servers[i].at.host);
    }
    free(map->servers);
    *map = (struct redis_map){0};
}
