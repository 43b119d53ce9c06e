/* SPDX-License-Identifier: MIT */
#include "store/way.h"

#include "store/base/clock.h"
#include "store/store_impl.h"

#include <inttypes.h>

enum {
    PARCEL_MOST = 64 * 1024, /* from here on it goes before the turn ends */
    ASK_US = 1000 * 1000, /* after so long the server is asked again what it thinks of a parcel */
};

struct bus_way {
    struct map_node node; /* in the shard */
    struct store *store;
    unsigned shard;
    unsigned refs;
    uint64_t number;    /* of the last parcel over this link */
    uint64_t asked_us;  /* the server was asked what it thinks of one */
    struct buf parcel;  /* of this turn */
    struct list filled; /* in the store while the parcel has something */
    char name[];
};

/* ------------------------------------------------------------------------------------ speaking */

struct bus_way *way_get(struct store *store, unsigned shard, struct span node)
{
    struct map *ways = &store->shards[shard].ways;
    struct map_node *found = map_find(ways, node);
    if (found != NULL) {
        return way_ref(MAP_ENTRY(found, struct bus_way, node));
    }
    struct bus_way *way = mem_zalloc(sizeof(*way) + node.len);
    way->store = store;
    way->shard = shard;
    way->refs = 1;
    list_init(&way->filled);
    memcpy(way->name, node.ptr, node.len);
    map_insert(ways, &way->node, span_of(way->name, node.len));
    return way;
}

struct bus_way *way_ref(struct bus_way *way)
{
    way->refs++;
    return way;
}

static void way_free(struct bus_way *way)
{
    map_remove(&way->store->shards[way->shard].ways, &way->node);
    list_del(&way->filled);
    buf_free(&way->parcel);
    free(way);
}

void way_inbox(const struct store *store, unsigned shard, bool next, struct span node,
               struct buf *out)
{
    unsigned first = 0;
    const uint8_t *owner = next ? store->change.owner_after : store->change.owner_before;
    owner = owner != NULL ? owner : store->backend->owner;
    while (first < PARTITIONS - 1 && owner[first] != shard) {
        first++;
    }
    buf_printf(out, "%s:{%s}:i:%.*s", store->prefix, partition_tag(first), SPAN_ARG(node));
}

/* An error is the same for all of a way: nobody need read an answer to each. */
static bool is_quiet(struct bus_way *way)
{
    uint64_t now = clock_monotonic_us();
    bool quiet = way->number > 1 && now - way->asked_us < ASK_US;
    if (!quiet) {
        way->asked_us = now;
    }
    return quiet;
}

static void send_parcel(struct bus_way *way)
{
    struct store *store = way->store;
    struct buf text = {0};
    list_del(&way->filled);
    way_inbox(store, way->shard, shard_set_has(&store->change.begun, way->shard),
              map_key(&way->node), &text);
    size_t channel = text.len;
    buf_printf(&text, "%u %s %" PRIu64 " %" PRIu64 "\n", store_wire_now(store), store->node,
               store->shards[way->shard].links, ++way->number);
    int sent = store->backend->ops->publish(store->backend, way->shard, span_of(text.ptr, channel),
                                            span_skip(buf_span(&text), channel),
                                            buf_span(&way->parcel), is_quiet(way));
    store->stats.parcels += sent == 0;
    store->stats.unpublished += sent != 0;
    way->parcel.len = 0;
    buf_free(&text);
    if (way->refs == 0) {
        way_free(way);
    }
}

/* A way that is used again begins with number 1 again, which is no gap. */
void way_unref(struct bus_way *way)
{
    if (--way->refs == 0 && way->parcel.len == 0) {
        way_free(way);
    }
}

void way_send(struct bus_way *way, const struct way_item *item)
{
    struct store *store = way->store;
    buf_printf(&way->parcel, "%zu %zu %" PRIu64 "\n", item->topic.len, item->payload.len,
               item->age_us);
    buf_append(&way->parcel, item->topic);
    buf_append(&way->parcel, item->payload);
    if (way->parcel.len >= PARCEL_MOST) {
        send_parcel(way);
    } else if (list_empty(&way->filled)) {
        list_push_back(&store->filled, &way->filled);
        event_active(store->parcels, EV_TIMEOUT, 0); /* behind what this turn has still to do */
    }
}

static void on_parcels(evutil_socket_t fd, short what, void *arg)
{
    struct store *store = arg;
    (void)fd, (void)what;
    store_enter(store);
    while (!list_empty(&store->filled)) {
        send_parcel(LIST_ITEM(store->filled.next, struct bus_way, filled));
    }
    store_leave(store);
}

/* ------------------------------------------------------------------------------------ life */

/* What waited is over, like all that the link took with it. */
static void drop_parcels(struct store *store, const struct shard_set *which)
{
    LIST_EACH(it, &store->filled) {
        struct bus_way *way = LIST_ITEM(it, struct bus_way, filled);
        if (shard_set_has(which, way->shard)) {
            list_del(&way->filled);
            way->parcel.len = 0;
            if (way->refs == 0) {
                way_free(way);
            }
        }
    }
}

void ways_on_link(struct store *store, const struct shard_set *which)
{
    drop_parcels(store, which);
    for (unsigned i = 0; i < store->backend->shards; i++) {
        struct shard *s = &store->shards[i];
        if (!shard_set_has(which, i)) {
            continue;
        }
        MAP_EACH(it, &s->ways) {
            MAP_ENTRY(it, struct bus_way, node)->number = 0;
        }
    }
}

void ways_init(struct store *store)
{
    list_init(&store->filled);
    store->parcels = event_new(store->base, -1, 0, on_parcels, store);
}

void ways_deinit(struct store *store)
{
    for (unsigned i = 0; i < store->backend->shards; i++) {
        MAP_EACH(it, &store->shards[i].ways) {
            way_free(MAP_ENTRY(it, struct bus_way, node));
        }
        map_deinit(&store->shards[i].ways);
    }
    event_free(store->parcels);
}
