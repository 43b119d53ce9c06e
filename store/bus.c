/* SPDX-License-Identifier: MIT */
/* The local side of the bus: which topics this process hears, and which subscribers hear them.
 *
 *     OFF --ask--> ASKED --heard--> ON --no subscriber left--> LEAVING --left--> OFF
 *
 * One step is under way per topic at a time; the next step is chosen when that one is answered,
 * from the subscribers there then, so that any order of subscribe and unsubscribe ends right. A
 * lost link puts all its topics to OFF, and a partition that gets another server takes its topics along:
 * each when it is next looked at (topic_catch_up), and a sweep looks at all. */
#include "store/bus.h"

#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/base/decimal.h"
#include "store/base/timer.h"
#include "store/bus_impl.h"
#include "store/bus_speaker.h"
#include "store/sweep.h"
#include "store/watchers.h"
#include "store/way.h"
#include "store/wire.h"

#include <inttypes.h>

enum {
    CHANNELS_PER_COMMAND = 500,
    COMMANDS_PER_TURN = 8, /* of 500 channels: bounds the work after a reconnect */
    CHANNELS_ASKED = 2000, /* from here on, more are asked for when these are answered */
};

enum topic_state { TOPIC_OFF, TOPIC_ASKED, TOPIC_ON, TOPIC_LEAVING };

struct topic {
    struct map_node node;
    struct watchers subs;
    struct list batch; /* in shard.asking or shard.leaving */
    unsigned shard;
    int partition; /* by which its server is found; -1: it is one of a server */
    enum topic_state state;
    bool gap;      /* the link fell; subscribers have to hear of it */
    uint32_t gaps; /* of the shard, that it knows of */
    bool framed;   /* payloads begin with a head: "W node link", later fields, a line's end */
    bool attended; /* its messages come by ways, and its state is that of the inbox: ON or OFF */
    uint64_t since_us; /* attended: it began */
    char name[];       /* the whole channel */
};

struct bus_sub {
    struct watcher watcher;
    bus_fn *fn;
    void *arg;
    bool echo;
    bool ready;
};
WATCHER_FIRST(struct bus_sub);

/* Where this node hears what others have for it (store/way.h). Where the list of servers changes it may have
 * two names. */
struct bus_inbox {
    struct store *store;
    unsigned shard;
    struct inbox_name {
        struct bus_inbox *inbox;
        struct bus_sub *sub; /* NULL: it has no such name, or not just now */
        bool heard;
    } names[2];
    bool open; /* by all its names it is heard */
};

static const struct span nothing = {NULL, 0};

static bool inbox_is_open(struct store *store, unsigned shard);
static void inboxes_settle(struct store *store);

static void tell(struct bus_sub *sub, enum bus_event event, struct span payload)
{
    if (watcher_listens(&sub->watcher)) {
        sub->fn(sub->arg, event, payload);
    }
}

static uint32_t gaps_of(const struct topic *topic)
{
    const struct shard *shard = &topic->subs.store->shards[topic->shard];
    return shard->gaps + (topic->attended ? shard->attended_gaps : 0);
}

static bool is_inbox_open(const struct topic *topic)
{
    const struct bus_inbox *inbox = topic->subs.store->shards[topic->shard].inbox;
    return inbox != NULL && inbox->open;
}

/* What happened to all topics of its shard, or to all that are attended there. */
static void see_gaps(struct topic *topic)
{
    uint32_t gaps = gaps_of(topic);
    if (topic->gaps != gaps) {
        topic->gaps = gaps;
        topic->gap = true;
        topic->state = TOPIC_OFF;
        list_del(&topic->batch);
        watchers_kick(&topic->subs);
    }
}

/* Where it belongs by now. */
static unsigned shard_of(const struct topic *topic)
{
    const struct backend *backend = topic->subs.store->backend;
    if (topic->partition < 0) {
        return topic->shard;
    }
    unsigned shard = backend->owner[topic->partition];
    return topic->attended ? backend->lease_at[shard] : shard;
}

/* What comes over the old server's link is not this topic's any more. */
static void topic_move(struct topic *topic, unsigned shard)
{
    struct store *store = topic->subs.store;
    struct span channel = map_key(&topic->node);
    see_gaps(topic);
    list_del(&topic->batch);
    if (!topic->attended) {
        bool asked = topic->state == TOPIC_ASKED || topic->state == TOPIC_LEAVING;
        store->shards[topic->shard].asked -= asked;
        if (topic->state == TOPIC_ON || topic->state == TOPIC_ASKED) {
            store->backend->ops->unsubscribe(store->backend, topic->shard, &channel, 1);
        }
    }
    topic->gap = true;
    topic->shard = shard;
    topic->state = TOPIC_OFF;
    topic->gaps = gaps_of(topic);
    watchers_kick(&topic->subs);
}

/* What happened since it was last looked at. */
static void topic_catch_up(struct topic *topic)
{
    unsigned shard = shard_of(topic);
    see_gaps(topic);
    if (topic->shard != shard) {
        topic_move(topic, shard);
    }
    if (topic->attended) {
        topic->state = is_inbox_open(topic) ? TOPIC_ON : TOPIC_OFF;
    }
}

/* A map_visit_fn of the sweep. */
static void look_again(void *arg, struct map_node *node)
{
    const struct store *store = arg;
    struct topic *topic = MAP_ENTRY(node, struct topic, node);
    bool open = topic->attended ? is_inbox_open(topic) : store->shards[topic->shard].up;
    bool moved = topic->shard != shard_of(topic);
    if (moved || topic->gaps != gaps_of(topic) || (topic->state != TOPIC_ON) == open) {
        watchers_kick(&topic->subs);
    }
}

/* Tells subscribers of the gap and of the readiness that they do not know yet. */
static void topic_settle(struct topic *topic)
{
    if (topic->gap) {
        topic->gap = false;
        WATCHERS_EACH(bus_sub, sub, &topic->subs) {
            if (sub->ready) {
                sub->ready = false;
                tell(sub, BUS_GAP, nothing);
            }
        }
    }
    if (topic->state == TOPIC_ON) {
        WATCHERS_EACH(bus_sub, sub, &topic->subs) {
            if (!sub->ready) {
                sub->ready = true;
                tell(sub, BUS_READY, nothing);
            }
        }
    }
}

static void topic_free(struct topic *topic)
{
    map_remove(&topic->subs.store->topics, &topic->node);
    if (topic->attended) {
        topic->subs.store->attended[topic->partition]--;
    }
    watchers_deinit(&topic->subs);
    list_del(&topic->batch);
    free(topic);
}

static void topic_run(struct chore *chore)
{
    struct topic *topic = CONTAINER_OF(chore, struct topic, subs.chore);
    watchers_sweep(&topic->subs);
    topic_catch_up(topic);
    topic_settle(topic);
    struct shard *shard = &topic->subs.store->shards[topic->shard];
    if (watchers_none(&topic->subs)) {
        if (topic->state == TOPIC_OFF || topic->attended) {
            topic_free(topic);
        } else if (topic->state == TOPIC_ON) {
            list_del(&topic->batch);
            list_push_back(&shard->leaving, &topic->batch);
        }
    } else if (topic->state == TOPIC_OFF && shard->up && !topic->attended) {
        list_del(&topic->batch);
        list_push_back(&shard->asking, &topic->batch);
    }
}

/* Sends up to 500 of the gathered topics in one command. */
static void send_batch(struct store *store, unsigned shard, struct list *batch, bool on)
{
    struct span channels[CHANNELS_PER_COMMAND];
    struct backend *backend = store->backend;
    size_t count = 0;
    while (!list_empty(batch) && count < CHANNELS_PER_COMMAND) {
        struct topic *topic = LIST_ITEM(batch->next, struct topic, batch);
        list_del(&topic->batch);
        topic_catch_up(topic);
        if (topic->shard != shard || topic->state != (on ? TOPIC_OFF : TOPIC_ON) ||
            on == watchers_none(&topic->subs)) {
            watchers_kick(&topic->subs);
            continue;
        }
        topic->state = on ? TOPIC_ASKED : TOPIC_LEAVING;
        store->shards[shard].asked++;
        channels[count++] = map_key(&topic->node);
    }
    if (count > 0 && on) {
        backend->ops->subscribe(backend, shard, channels, count);
    } else if (count > 0) {
        backend->ops->unsubscribe(backend, shard, channels, count);
    }
}

void bus_flush(struct store *store)
{
    for (unsigned i = 0; i < store->backend->shards; i++) {
        struct shard *shard = &store->shards[i];
        bool full = shard->asked >= CHANNELS_ASKED;
        for (int left = COMMANDS_PER_TURN; left > 0 && shard->up && !full; left--) {
            if (!list_empty(&shard->leaving)) {
                send_batch(store, i, &shard->leaving, false);
            } else if (!list_empty(&shard->asking)) {
                send_batch(store, i, &shard->asking, true);
            }
            full = shard->asked >= CHANNELS_ASKED;
        }
        if (shard->up && !full && !(list_empty(&shard->asking) && list_empty(&shard->leaving))) {
            timer_after(store->turn, 0);
        }
    }
}

bool bus_on_channel(struct store *store, struct span channel, bool on)
{
    struct map_node *node = map_find(&store->topics, channel);
    if (node == NULL) {
        return false;
    }
    struct topic *topic = MAP_ENTRY(node, struct topic, node);
    topic_catch_up(topic);
    bool answered = topic->state == (on ? TOPIC_ASKED : TOPIC_LEAVING);
    store->shards[topic->shard].asked -= answered;
    if (on && topic->state == TOPIC_ASKED) {
        topic->state = TOPIC_ON;
    } else if (!on && topic->state == TOPIC_LEAVING) {
        topic->state = TOPIC_OFF;
    }
    watchers_kick(&topic->subs);
    return answered;
}

/* Cuts the head, "W node link ...", off a message of `shard`: *origin is the node, *head what stands
 * behind the link. False where it is to be dropped: it cannot be read, or is late. */
static bool cut_head(struct store *store, unsigned shard, struct span *message, struct span *origin,
                     struct span *head)
{
    uint64_t link;
    if (!wire_cut(message, store->wire)) {
        store_on_unread(store, WIRE_MESSAGE,
                        "a message of another node is in a form that this node "
                        "does not read: are all of one release or its neighbours?");
        return false;
    }
    *head = span_cut(message, '\n');
    *origin = span_cut(head, ' ');
    if (!decimal_read(span_cut(head, ' '), UINT64_MAX, &link) ||
        !bus_speaker_goes_on(&store->shards[shard].speakers, *origin, link, clock_monotonic_us())) {
        store->stats.late++;
        return false;
    }
    return true;
}

/* Cuts the head off *payload. Is the message one that comes after all that was heard of its node? */
static bool take_head(struct topic *topic, struct span *payload, bool *own)
{
    struct store *store = topic->subs.store;
    struct span origin = nothing, head;
    bool good = cut_head(store, topic->shard, payload, &origin, &head);
    store->stats.received += origin.len > 0;
    *own = span_eq(origin, span_str(store->node));
    return good;
}

void bus_on_message(struct store *store, struct span channel, struct span payload)
{
    struct map_node *node = map_find(&store->topics, channel);
    struct topic *topic = node != NULL ? MAP_ENTRY(node, struct topic, node) : NULL;
    bool own = false;
    if (topic != NULL) {
        topic_catch_up(topic);
    }
    if (topic == NULL || topic->state != TOPIC_ON) {
        return;
    }
    topic_settle(topic);
    if (topic->framed && !take_head(topic, &payload, &own)) {
        return;
    }
    WATCHERS_EACH(bus_sub, sub, &topic->subs) {
        if (sub->ready && (sub->echo || !own)) {
            tell(sub, BUS_MESSAGE, payload);
        }
    }
}

void bus_on_link(struct store *store, const struct shard_set *which, bool up)
{
    ways_on_link(store, which);
    for (unsigned i = 0; i < store->backend->shards; i++) {
        store->shards[i].links += shard_set_has(which, i) && up;
        store->shards[i].asked = shard_set_has(which, i) ? 0 : store->shards[i].asked;
        store->shards[i].gaps += shard_set_has(which, i) && !up;
        if (shard_set_has(which, i)) {
            bus_speakers_restart(&store->shards[i].speakers);
        }
        if (shard_set_has(which, i) && store->shards[i].inbox != NULL && !up) {
            store->shards[i].inbox->open = false;
        }
    }
    sweep_start(&store->sweep);
}

/* Inboxes are there, by the names of now, before topics are heard by them. */
void bus_on_owner(struct store *store)
{
    const struct backend *backend = store->backend;
    struct shard_set attended = {{0}};
    for (unsigned p = 0; p < PARTITIONS; p++) {
        if (store->attended[p] > 0) {
            shard_set_add(&attended, backend->lease_at[backend->owner[p]]);
        }
    }
    for (unsigned i = 0; i < backend->shards; i++) {
        if (shard_set_has(&attended, i)) {
            inbox_is_open(store, i);
        }
    }
    inboxes_settle(store);
    sweep_start(&store->sweep);
}

static struct topic *topic_get(struct store *store, unsigned shard, struct span channel)
{
    struct map_node *node = map_find(&store->topics, channel);
    if (node != NULL) {
        return MAP_ENTRY(node, struct topic, node);
    }
    struct topic *topic = mem_zalloc(sizeof(*topic) + channel.len);
    memcpy(topic->name, channel.ptr, channel.len);
    topic->shard = shard;
    topic->partition = partition_of_channel(channel);
    topic->gaps = store->shards[shard].gaps;
    list_init(&topic->batch);
    watchers_init(&topic->subs, store, topic_run);
    map_insert(&store->topics, &topic->node, span_of(topic->name, channel.len));
    return topic;
}

static struct bus_sub *topic_join(struct topic *topic, bool echo, bus_fn *fn, void *arg)
{
    struct bus_sub *sub = mem_zalloc(sizeof(*sub));
    sub->echo = echo;
    sub->fn = fn;
    sub->arg = arg;
    watchers_join(&topic->subs, &sub->watcher);
    return sub;
}

struct bus_sub *bus_channel_subscribe(struct store *store, unsigned shard, struct span channel,
                                      bus_fn *fn, void *arg)
{
    return topic_join(topic_get(store, shard, channel), true, fn, arg);
}

static void topic_channel(const struct store *store, struct span topic, struct buf *channel)
{
    partition_key(channel, store->prefix, "b", topic);
}

struct bus_sub *bus_subscribe(struct store *store, struct span topic, enum bus_echo echo,
                              bus_fn *fn, void *arg)
{
    struct buf channel = {0};
    topic_channel(store, topic, &channel);
    struct topic *joined = topic_get(store, store_shard(store, topic), buf_span(&channel));
    buf_free(&channel);
    joined->framed = true;
    return topic_join(joined, echo == BUS_ECHO, fn, arg);
}

/* ------------------------------------------------------------------------------------ by ways */

static void attended_channel(const struct store *store, struct span topic, struct buf *channel)
{
    partition_key(channel, store->prefix, "c", topic);
}

void bus_attended_gap(struct store *store, unsigned shard)
{
    store->shards[shard].attended_gaps++;
    sweep_start(&store->sweep);
}

/* What is older than the topic here is not for it: a repeat, for subscribers that were here already. Nor is what
 * comes by another server than the topic has by now. */
static void attended_item(struct store *store, unsigned shard, const struct way_item *item)
{
    struct buf channel = {0};
    attended_channel(store, item->topic, &channel);
    struct map_node *node = map_find(&store->topics, buf_span(&channel));
    struct topic *topic = node != NULL ? MAP_ENTRY(node, struct topic, node) : NULL;
    buf_free(&channel);
    if (topic != NULL) {
        topic_catch_up(topic);
    }
    if (topic == NULL || topic->state != TOPIC_ON) {
        return;
    }
    store->stats.received++;
    topic_settle(topic);
    if (topic->shard != shard) {
        return;
    }
    if (item->age_us > clock_monotonic_us() - topic->since_us) {
        return;
    }
    WATCHERS_EACH(bus_sub, sub, &topic->subs) {
        if (sub->ready) {
            tell(sub, BUS_MESSAGE, item->payload);
        }
    }
}

static void on_parcel(struct store *store, unsigned shard, struct span parcel)
{
    struct span origin, head;
    struct way_item item;
    uint64_t number;
    if (!cut_head(store, shard, &parcel, &origin, &head)) {
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
        attended_item(store, shard, &item);
    }
    if (more < 0) {
        store_on_unread(store, WIRE_MESSAGE, "a parcel of another node cannot be read");
    }
}

static void inbox_look(struct bus_inbox *inbox)
{
    bool open = true;
    for (unsigned i = 0; i < 2; i++) {
        open = open && (inbox->names[i].sub == NULL || inbox->names[i].heard);
    }
    inbox->open = open;
    sweep_start(&inbox->store->sweep);
}

static void on_inbox(void *arg, enum bus_event event, struct span payload)
{
    struct inbox_name *name = arg;
    struct bus_inbox *inbox = name->inbox;
    if (event == BUS_MESSAGE) {
        on_parcel(inbox->store, inbox->shard, payload);
    } else {
        name->heard = event == BUS_READY;
        inbox->store->shards[inbox->shard].attended_gaps += event != BUS_READY;
        inbox_look(inbox);
    }
}

/* The shard whose name by the other list is this one: of two servers one may have had the partition that is
 * the first of the other. -1: none. */
static int rival_of(const struct store *store, unsigned shard, bool next, struct span channel)
{
    int rival = -1;
    for (unsigned i = 0; i < store->backend->shards && rival < 0; i++) {
        struct buf other = {0};
        way_inbox(store, i, !next, span_str(store->node), &other);
        rival = i != shard && span_eq(buf_span(&other), channel) ? (int)i : -1;
        buf_free(&other);
    }
    return rival;
}

/* Is the inbox heard by that name now? The old one of a server counts until all know of the change, when the
 * new ones begin to: so a name that both lists have, for two servers, is heard at one at a time. */
static bool is_name_of_now(const struct store *store, unsigned shard, bool next,
                           struct span channel)
{
    const struct shard_set *begun = &store->change.begun;
    int rival = store->change.after != NULL ? rival_of(store, shard, next, channel) : -1;
    if (rival < 0) {
        return true;
    }
    return next ? shard_set_has(begun, shard)
                : !shard_set_has(begun, shard) && !shard_set_has(begun, (unsigned)rival);
}

static void inbox_hear(struct inbox_name *name, struct bus_inbox *inbox, struct span channel)
{
    name->inbox = inbox;
    name->heard = false;
    struct topic *topic = topic_get(inbox->store, inbox->shard, channel);
    if (topic->shard != inbox->shard) {
        topic_move(topic, inbox->shard);
    }
    name->sub = topic_join(topic, true, on_inbox, name);
}

/* Begins to hear the names of now, or, `ends`, hears the others no more. */
static void inbox_settle(struct bus_inbox *inbox, bool ends)
{
    const struct store *store = inbox->store;
    for (unsigned i = 0; i < 2; i++) {
        struct buf channel = {0}, first = {0};
        struct inbox_name *name = &inbox->names[i];
        way_inbox(store, inbox->shard, false, span_str(store->node), &first);
        way_inbox(store, inbox->shard, i == 1, span_str(store->node), &channel);
        bool has = i == 0 || !span_eq(buf_span(&first), buf_span(&channel));
        bool now = has && is_name_of_now(store, inbox->shard, i == 1, buf_span(&channel));
        if (ends && !now && name->sub != NULL) {
            bus_unsubscribe(&name->sub);
        } else if (!ends && now && name->sub == NULL) {
            inbox_hear(name, inbox, buf_span(&channel));
        }
        buf_free(&channel);
        buf_free(&first);
    }
    inbox_look(inbox);
}

static void inboxes_settle(struct store *store)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < store->backend->shards; i++) {
            if (store->shards[i].inbox != NULL) {
                inbox_settle(store->shards[i].inbox, pass == 0);
            }
        }
    }
}

bool bus_is_heard_at(const struct store *store, struct span channel, unsigned shard)
{
    struct map_node *node = map_find(&store->topics, channel);
    return node == NULL || MAP_ENTRY(node, struct topic, node)->shard == shard;
}

/* It is opened when it is first asked for, and stays. */
static bool inbox_is_open(struct store *store, unsigned shard)
{
    struct bus_inbox *inbox = store->shards[shard].inbox;
    if (inbox == NULL) {
        inbox = mem_zalloc(sizeof(*inbox));
        inbox->store = store;
        inbox->shard = shard;
        store->shards[shard].inbox = inbox;
        inboxes_settle(store);
    }
    return inbox->open;
}

struct bus_sub *bus_attend(struct store *store, struct span topic, bus_fn *fn, void *arg)
{
    struct buf channel = {0};
    unsigned shard = store->backend->lease_at[store_shard(store, topic)];
    attended_channel(store, topic, &channel);
    struct topic *joined = topic_get(store, shard, buf_span(&channel));
    buf_free(&channel);
    if (!joined->attended) {
        joined->attended = true;
        store->attended[joined->partition]++;
        joined->since_us = clock_monotonic_us();
        joined->state = inbox_is_open(store, shard) ? TOPIC_ON : TOPIC_OFF;
        joined->gaps = gaps_of(joined);
    }
    return topic_join(joined, false, fn, arg);
}

/* Subscribes to a channel of the topic's server on which no node ever publishes. */
struct bus_sub *bus_follow(struct store *store, struct span topic, bus_fn *fn, void *arg)
{
    struct buf channel = {0};
    unsigned shard = store_shard(store, topic), partition = partition_of(topic);
    buf_printf(&channel, "%s:{%s}:f:%u:%s", store->prefix, partition_tag(partition), partition,
               store->node);
    struct bus_sub *sub = bus_channel_subscribe(store, shard, buf_span(&channel), fn, arg);
    buf_free(&channel);
    return sub;
}

size_t bus_queued(const struct store *store, struct span topic)
{
    return store->backend->ops->queued(store->backend, store_shard(store, topic));
}

void bus_unsubscribe(struct bus_sub **sub)
{
    if (sub == NULL || *sub == NULL) {
        return;
    }
    watchers_leave(&(*sub)->watcher);
    *sub = NULL;
}

int bus_publish(struct store *store, struct span topic, struct span payload)
{
    struct backend *backend = store->backend;
    struct buf text = {0};
    topic_channel(store, topic, &text);
    size_t channel_len = text.len;
    buf_printf(&text, "%u %s %" PRIu64 "\n", store_wire_now(store), store->node,
               store->shards[store_shard(store, topic)].links);
    struct span channel = span_of(text.ptr, channel_len);
    struct span head = span_skip(buf_span(&text), channel_len);
    int sent =
        backend->ops->publish(backend, store_shard(store, topic), channel, head, payload, false);
    if (sent == 0) {
        store->stats.published++;
    } else {
        store->stats.unpublished++;
    }
    buf_free(&text);
    return sent;
}

void bus_init(struct store *store)
{
    map_init(&store->topics);
    sweep_init(&store->sweep, store, &store->topics, look_again);
}

void bus_deinit(struct store *store)
{
    MAP_EACH(it, &store->topics) {
        topic_free(MAP_ENTRY(it, struct topic, node));
    }
    map_deinit(&store->topics);
    sweep_deinit(&store->sweep);
}
