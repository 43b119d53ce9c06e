/* SPDX-License-Identifier: MIT */
#include "store/way.h"

#include "store/bus_impl.h"
#include "store/bus_speaker.h"
#include "store/store_impl.h"

#include <inttypes.h>

enum { PARCEL_MOST = 64 * 1024 }; /* from here on it goes before the turn ends */

struct way {
    struct map_node node; /* in the shard */
    struct store *store;
    unsigned shard;
    unsigned refs;
    uint64_t number;    /* of the last parcel over this link */
    struct buf parcel;  /* of this turn */
    struct list filled; /* in the store while the parcel has something */
    char name[];
};

/* ------------------------------------------------------------------------------------ speaking */

struct way *way_get(struct store *store, unsigned shard, struct span node)
{
    struct map *ways = &store->shards[shard].ways;
    struct map_node *found = map_find(ways, node);
    if (found != NULL) {
        return way_ref(MAP_ENTRY(found, struct way, node));
    }
    struct way *way = mem_zalloc(sizeof(*way) + node.len);
    way->store = store;
    way->shard = shard;
    way->refs = 1;
    list_init(&way->filled);
    memcpy(way->name, node.ptr, node.len);
    map_insert(ways, &way->node, span_of(way->name, node.len));
    return way;
}

struct way *way_ref(struct way *way)
{
    way->refs++;
    return way;
}

static void way_free(struct way *way)
{
    map_remove(&way->store->shards[way->shard].ways, &way->node);
    list_del(&way->filled);
    buf_free(&way->parcel);
    free(way);
}

/* It has the tag of the shard's first partition: the same on all nodes, another one for each shard. */
static void inbox_name(const struct store *store, unsigned shard, struct span node, struct buf *out)
{
    unsigned first = 0;
    while (first < PARTITIONS - 1 && store->backend->owner[first] != shard) {
        first++;
    }
    buf_printf(out, "%s:{%s}:i:%.*s", store->prefix, partition_tag(first), SPAN_ARG(node));
}

static void send_parcel(struct way *way)
{
    struct store *store = way->store;
    struct buf text = {0};
    list_del(&way->filled);
    inbox_name(store, way->shard, map_key(&way->node), &text);
    size_t channel = text.len;
    buf_printf(&text, "%u %s %" PRIu64 " %" PRIu64 "\n", store_wire_now(store), store->node,
               store->shards[way->shard].links, ++way->number);
    int sent =
        store->backend->ops->publish(store->backend, way->shard, span_of(text.ptr, channel),
                                     span_skip(buf_span(&text), channel), buf_span(&way->parcel));
    store->stats.parcels += sent == 0;
    store->stats.unpublished += sent != 0;
    way->parcel.len = 0;
    buf_free(&text);
    if (way->refs == 0) {
        way_free(way);
    }
}

/* A way that is used again begins with number 1 again, which is no gap. */
void way_unref(struct way *way)
{
    if (--way->refs == 0 && way->parcel.len == 0) {
        way_free(way);
    }
}

void way_send(struct way *way, const struct way_item *item)
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
        send_parcel(LIST_ITEM(store->filled.next, struct way, filled));
    }
    store_leave(store);
}

/* ------------------------------------------------------------------------------------ hearing */

int way_next(struct span *rest, struct way_item *item)
{
    uint64_t topic, payload;
    if (rest->len == 0) {
        return 0;
    }
    if (!decimal_cut(rest, ' ', &topic) || !decimal_cut(rest, ' ', &payload) ||
        !decimal_cut(rest, '\n', &item->age_us) || topic > rest->len ||
        payload > rest->len - topic) {
        return -1;
    }
    item->topic = span_of(rest->ptr, topic);
    item->payload = span_of(rest->ptr + topic, payload);
    *rest = span_skip(*rest, topic + payload);
    return 1;
}

static void on_parcel(struct store *store, unsigned shard, struct span parcel)
{
    struct span origin, head;
    struct way_item item;
    uint64_t number;
    if (!bus_take_head(store, shard, &parcel, &origin, &head)) {
        return;
    }
    if (!decimal_read(span_cut(&head, ' '), UINT64_MAX, &number)) {
        number = 0;
    }
    if (bus_speaker_missed(&store->shards[shard].speakers, origin, number)) {
        store->stats.gaps++;
        bus_attended_gap(store, shard);
    }
    int more = way_next(&parcel, &item);
    for (; more > 0; more = way_next(&parcel, &item)) {
        bus_attended_item(store, &item);
    }
    if (more < 0) {
        store_on_unread(store, WIRE_MESSAGE, "a parcel of another node cannot be read");
    }
}

static void on_inbox(void *arg, enum bus_event event, struct span payload)
{
    struct way_inbox *inbox = arg;
    if (event == BUS_MESSAGE) {
        on_parcel(inbox->store, inbox->shard, payload);
    } else {
        inbox->open = event == BUS_READY;
        bus_attended_link(inbox->store, inbox->shard, inbox->open);
    }
}

bool way_hears(struct store *store, unsigned shard)
{
    struct way_inbox *inbox = &store->shards[shard].inbox;
    if (inbox->sub == NULL) {
        struct buf channel = {0};
        inbox->store = store;
        inbox->shard = shard;
        inbox_name(store, shard, span_str(store->node), &channel);
        inbox->sub = bus_channel_subscribe(store, shard, buf_span(&channel), on_inbox, inbox);
        buf_free(&channel);
    }
    return inbox->open;
}

/* ------------------------------------------------------------------------------------ life */

/* What waited is over, like all that the link took with it. */
static void drop_parcels(struct store *store, const struct shard_set *which)
{
    LIST_EACH(it, &store->filled) {
        struct way *way = LIST_ITEM(it, struct way, filled);
        if (shard_set_has(which, way->shard)) {
            list_del(&way->filled);
            way->parcel.len = 0;
            if (way->refs == 0) {
                way_free(way);
            }
        }
    }
}

void ways_on_link(struct store *store, const struct shard_set *which, bool up)
{
    drop_parcels(store, which);
    for (unsigned i = 0; i < store->backend->shards; i++) {
        struct shard *s = &store->shards[i];
        if (!shard_set_has(which, i)) {
            continue;
        }
        s->inbox.open &= up;
        bus_speakers_restart(&s->speakers);
        MAP_EACH(it, &s->ways) {
            MAP_ENTRY(it, struct way, node)->number = 0;
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
            way_free(MAP_ENTRY(it, struct way, node));
        }
        map_deinit(&store->shards[i].ways);
    }
    event_free(store->parcels);
}
