/* SPDX-License-Identifier: MIT */
#include "store/crowd.h"

#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/roster/roster.h"
#include "store/store_impl.h"
#include "store/way.h"

enum {
    PROVE_MS = 50, /* how long something is kept, at least, before a proof is asked for */
    KEPT_MOST = 16 * 1024 * 1024, /* bytes: beyond it the oldest goes unproved */
    QUEUE_MOST = 16 * 1024 * 1024,
};

/* Nodes, shared by the crowd and what was said to them. */
struct circle {
    unsigned refs, count;
    struct bus_way *ways[];
};

struct crowd {
    struct list entry; /* in the store */
    struct store *store;
    unsigned partition;
    unsigned shard, way_shard; /* of the roster, and of the inboxes, when it was last looked at */
    struct roster_watch *watch;
    crowd_member_fn *receives;
    struct circle *circle; /* as of the view; NULL: there is none yet */
    struct list kept;      /* struct kept_push.mine, the oldest first */
    bool closed;           /* goes with the last that is kept */
    size_t topic_len;
    char topic[];
};

struct kept_push {
    struct list entry; /* in the shard */
    struct list mine;  /* in the crowd */
    struct crowd *crowd;
    struct circle *told; /* the nodes that got it; NULL: none */
    uint64_t said_us;
    size_t len;
    char payload[];
};

/* ------------------------------------------------------------------------------------ circles */

static struct circle *circle_new(unsigned most)
{
    struct circle *circle = mem_alloc(sizeof(*circle) + most * sizeof(struct bus_way *));
    circle->refs = 1;
    circle->count = 0;
    return circle;
}

static struct circle *circle_ref(struct circle *circle)
{
    circle->refs++;
    return circle;
}

static void circle_unref(struct circle *circle)
{
    if (circle == NULL || --circle->refs > 0) {
        return;
    }
    for (unsigned i = 0; i < circle->count; i++) {
        way_unref(circle->ways[i]);
    }
    free(circle);
}

static bool circle_has(const struct circle *circle, const struct bus_way *way)
{
    for (unsigned i = 0; circle != NULL && i < circle->count; i++) {
        if (circle->ways[i] == way) {
            return true;
        }
    }
    return false;
}

static bool circle_holds(const struct circle *circle, const struct circle *other)
{
    unsigned i = 0;
    while (i < other->count && circle_has(circle, other->ways[i])) {
        i++;
    }
    return i == other->count;
}

/* New: all of both; `b` may be NULL. */
static struct circle *circle_union(const struct circle *a, const struct circle *b)
{
    struct circle *all = circle_new(a->count + (b != NULL ? b->count : 0));
    for (unsigned i = 0; i < a->count; i++) {
        all->ways[all->count++] = way_ref(a->ways[i]);
    }
    for (unsigned i = 0; b != NULL && i < b->count; i++) {
        if (!circle_has(a, b->ways[i])) {
            all->ways[all->count++] = way_ref(b->ways[i]);
        }
    }
    return all;
}

/* ------------------------------------------------------------------------------------ what is kept */

static void crowd_free(struct crowd *crowd)
{
    list_del(&crowd->entry);
    circle_unref(crowd->circle);
    free(crowd);
}

static void forget(struct kept_push *push)
{
    push->crowd->store->kept_bytes -= push->len;
    list_del(&push->entry);
    list_del(&push->mine);
    circle_unref(push->told);
    free(push);
}

/* Ends a closed crowd of which nothing is kept any more. */
static void end_if_done(struct crowd *crowd)
{
    if (crowd->closed && list_empty(&crowd->kept)) {
        roster_unwatch(&crowd->watch);
        crowd_free(crowd);
    }
}

static void forget_and_end(struct kept_push *push)
{
    struct crowd *crowd = push->crowd;
    forget(push);
    end_if_done(crowd);
}

static void keep(struct crowd *crowd, struct span payload)
{
    struct store *store = crowd->store;
    struct list *kept = &store->shards[crowd->shard].kept;
    struct kept_push *push = mem_alloc(sizeof(*push) + payload.len);
    push->crowd = crowd;
    push->told = crowd->circle != NULL ? circle_ref(crowd->circle) : NULL;
    push->said_us = clock_monotonic_us();
    push->len = payload.len;
    memcpy(push->payload, payload.ptr, payload.len);
    list_push_back(kept, &push->entry);
    list_push_back(&crowd->kept, &push->mine);
    store->kept_bytes += payload.len;
    while (store->kept_bytes > KEPT_MOST && kept->next != &push->entry) {
        forget_and_end(LIST_ITEM(kept->next, struct kept_push, entry));
    }
    if (!evtimer_pending(store->prove, NULL)) {
        timer_after(store->prove, PROVE_MS);
    }
}

static void on_prove(evutil_socket_t fd, short what, void *arg)
{
    struct store *store = arg;
    bool any = false;
    (void)fd, (void)what;
    store_enter(store);
    for (unsigned i = 0; i < store->backend->shards; i++) {
        if (!list_empty(&store->shards[i].kept)) {
            store->backend->ops->prove(store->backend, i);
            any = true;
        }
    }
    if (any) {
        timer_after(store->prove, PROVE_MS);
    }
    store_leave(store);
}

void crowds_on_proof(struct store *store, const struct shard_set *which, uint64_t asked_us)
{
    for (unsigned i = 0; i < store->backend->shards; i++) {
        if (!shard_set_has(which, i)) {
            continue;
        }
        LIST_EACH(it, &store->shards[i].kept) {
            struct kept_push *push = LIST_ITEM(it, struct kept_push, entry);
            if (push->said_us >= asked_us) {
                break;
            }
            if (push->crowd->circle != NULL && roster_is_sure(push->crowd->watch)) {
                forget_and_end(push);
            }
        }
    }
}

/* What was said is over, like all that a link took with it. */
void crowds_on_link(struct store *store, const struct shard_set *which, bool up)
{
    for (unsigned i = 0; i < store->backend->shards && !up; i++) {
        if (!shard_set_has(which, i) && !shard_set_has(which, store->backend->lease_at[i])) {
            continue;
        }
        LIST_EACH(it, &store->shards[i].kept) {
            forget_and_end(LIST_ITEM(it, struct kept_push, entry));
        }
    }
}

/* ------------------------------------------------------------------------------------ who is there */

static void say_to(struct crowd *crowd, struct bus_way *way, struct span payload, uint64_t age_us)
{
    const struct way_item item = {span_of(crowd->topic, crowd->topic_len), payload, age_us};
    way_send(way, &item);
}

/* To nodes that were not told; 0 would say that it is new. */
static void repeat(struct crowd *crowd, struct kept_push *push)
{
    uint64_t age_us = clock_monotonic_us() - push->said_us + 1;
    for (unsigned i = 0; i < crowd->circle->count; i++) {
        struct bus_way *way = crowd->circle->ways[i];
        if (!circle_has(push->told, way)) {
            say_to(crowd, way, span_of(push->payload, push->len), age_us);
            crowd->store->stats.repeats++;
        }
    }
    struct circle *all = circle_union(crowd->circle, push->told);
    circle_unref(push->told);
    push->told = all;
}

struct gathering {
    struct crowd *crowd;
    struct circle *circle;
};

static void gather(void *arg, const struct roster_member *member)
{
    struct gathering *all = arg;
    struct crowd *crowd = all->crowd;
    struct span node;
    if (!crowd->receives(member, &node) || span_eq(node, span_str(crowd->store->node))) {
        return;
    }
    struct bus_way *way = way_get(crowd->store, crowd->way_shard, node);
    if (circle_has(all->circle, way)) {
        way_unref(way);
    } else {
        all->circle->ways[all->circle->count++] = way;
    }
}

static void look(struct crowd *crowd)
{
    struct gathering all = {crowd, circle_new((unsigned)roster_count(crowd->watch))};
    roster_each(crowd->watch, gather, &all);
    struct circle *old = crowd->circle;
    crowd->circle = all.circle;
    LIST_EACH(it, &crowd->kept) {
        struct kept_push *push = LIST_ITEM(it, struct kept_push, mine);
        if (!circle_holds(push->told, crowd->circle)) {
            repeat(crowd, push);
        }
    }
    circle_unref(old);
}

/* The partition may have another server. What was said by the old one's ways is over; nodes that are there are
 * known, and told by the new ones. */
static void catch_up(struct crowd *crowd)
{
    const struct backend *backend = crowd->store->backend;
    if (crowd->shard == backend->owner[crowd->partition]) {
        return;
    }
    LIST_EACH(it, &crowd->kept) {
        forget(LIST_ITEM(it, struct kept_push, mine));
    }
    crowd->shard = backend->owner[crowd->partition];
    crowd->way_shard = backend->lease_at[crowd->shard];
    if (crowd->circle != NULL) {
        look(crowd);
    }
}

/* Something comes of each roster whose partition has another server. */
static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct crowd *crowd = arg;
    (void)member;
    catch_up(crowd);
    if (event == ROSTER_CHANGED) {
        look(crowd);
    }
    end_if_done(crowd);
}

/* ------------------------------------------------------------------------------------ the crowd */

struct crowd *crowd_open(struct store *store, struct span topic, crowd_member_fn *fn)
{
    struct crowd *crowd = mem_zalloc(sizeof(*crowd) + topic.len);
    crowd->store = store;
    crowd->partition = partition_of(topic);
    crowd->shard = store->backend->owner[crowd->partition];
    crowd->way_shard = store->backend->lease_at[crowd->shard];
    crowd->receives = fn;
    crowd->topic_len = topic.len;
    memcpy(crowd->topic, topic.ptr, topic.len);
    list_init(&crowd->kept);
    list_push_back(&store->crowds, &crowd->entry);
    crowd->watch = roster_watch(store, topic, on_roster, crowd);
    return crowd;
}

void crowd_close(struct crowd **crowd)
{
    if (crowd != NULL && *crowd != NULL) {
        struct crowd *gone = *crowd;
        *crowd = NULL;
        gone->closed = true;
        end_if_done(gone);
    }
}

int crowd_say(struct crowd *crowd, struct span payload)
{
    struct store *store = crowd->store;
    struct backend *backend = store->backend;
    catch_up(crowd);
    if (!store->shards[crowd->shard].up || !store->shards[crowd->way_shard].up ||
        backend->ops->queued(backend, crowd->way_shard) > QUEUE_MOST) {
        store->stats.unpublished++;
        return -1;
    }
    store->stats.published++;
    for (unsigned i = 0; crowd->circle != NULL && i < crowd->circle->count; i++) {
        say_to(crowd, crowd->circle->ways[i], payload, 0);
    }
    keep(crowd, payload);
    return 0;
}

void crowds_init(struct store *store)
{
    list_init(&store->crowds);
    store->prove = evtimer_new(store->base, on_prove, store);
}

/* The watches go with the roster. */
void crowds_deinit(struct store *store)
{
    LIST_EACH(it, &store->crowds) {
        struct crowd *crowd = LIST_ITEM(it, struct crowd, entry);
        LIST_EACH(one, &crowd->kept) {
            forget(LIST_ITEM(one, struct kept_push, mine));
        }
        crowd_free(crowd);
    }
    event_free(store->prove);
}
