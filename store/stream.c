/* SPDX-License-Identifier: MIT */
/* The calls of stream.h.
 *
 *     stream_append -> waiting --joined, when the one before is answered--> flight -> outcomes
 *                                                                          |   ^
 *                                                               link lost  v   | link up: again
 *
 * One call is in flight at a time: then the server has to remember only each node's last one to
 * know what it has carried out. */
#include "store/stream.h"

#include "store/base/clock.h"
#include "store/base/decimal.h"
#include "store/base/timer.h"
#include "store/store_impl.h"
#include "store/stream_call.h"
#include "store/stream_impl.h"

#include <assert.h>
enum {
    CALL_BYTES = 1024 * 1024, /* after which a call takes no more groups in */
    CALL_GROUPS = 512,
    WAITING_BYTES = 16 * 1024 * 1024,
    PATIENCE_US = 5 * 1000 * 1000,
    STREAM_TICK_MS = 200,
};

static struct span key_name(void)
{
    return SPAN("l");
}

static unsigned stream_shard(const struct store *store)
{
    return store_shard(store, key_name());
}

bool stream_reached(const struct store *store)
{
    return store->backend->ops->ready(store->backend, stream_shard(store));
}

void stream_item_put(struct buf *items, const struct stream_item *item)
{
    uint32_t head[3] = {item->lane, (uint32_t)item->tag.len, (uint32_t)item->payload.len};
    buf_append(items, span_of(head, sizeof(head)));
    buf_append(items, item->tag);
    buf_append(items, item->payload);
}

bool stream_item_next(struct span *rest, struct stream_item *item)
{
    uint32_t head[3];
    if (rest->len < sizeof(head)) {
        return false;
    }
    memcpy(head, rest->ptr, sizeof(head));
    item->lane = head[0];
    item->tag = span_of(rest->ptr + sizeof(head), head[1]);
    item->payload = span_of(item->tag.ptr + head[1], head[2]);
    *rest = span_skip(*rest, sizeof(head) + head[1] + head[2]);
    return true;
}

/* ------------------------------------------------------------------------------------ appending */

struct append {
    struct stream_group group;
    stream_append_fn *fn; /* NULL: given up */
    void *arg;
    uint64_t since_us;
};

static struct append *append_of(struct list *link)
{
    return CONTAINER_OF(link, struct append, group.entry);
}

static void append_free(struct append *append)
{
    list_del(&append->group.entry);
    buf_free(&append->group.items);
    free(append);
}

/* Tells the caller, who then knows all there is to know. */
static void conclude(struct store *store, struct append *append, enum stream_outcome outcome)
{
    stream_append_fn *fn = append->fn;
    append->fn = NULL;
    if (fn != NULL && !store->closing) {
        fn(append->arg, outcome);
    }
}

static void take_off(struct store *store)
{
    struct stream_table *table = &store->stream;
    size_t bytes = 0, groups = 0;
    LIST_EACH(it, &table->waiting) {
        size_t len = append_of(it)->group.items.len;
        if (groups == CALL_GROUPS || (groups > 0 && bytes + len > CALL_BYTES)) {
            break;
        }
        list_del(it);
        list_push_back(&table->flight, it);
        bytes += len;
        groups++;
    }
    table->waiting_bytes -= bytes;
    table->number++;
    table->again = false;
}

static void on_appended(void *arg, enum backend_answer answer, struct span reply);

/* Sends what is to be sent, if it can be. */
static void fly(struct store *store)
{
    struct stream_table *table = &store->stream;
    unsigned shard = stream_shard(store);
    if (table->in_flight || !store->shards[shard].up) {
        return;
    }
    if (list_empty(&table->flight)) {
        if (list_empty(&table->waiting)) {
            return;
        }
        take_off(store);
    }
    struct stream_call call = {&table->limits, span_str(store->node), table->number, table->again,
                               &table->flight};
    table->in_flight =
        store->backend->ops->stream_append(store->backend, shard, &call, on_appended, store) == 0;
    table->again = table->again || table->in_flight;
}

static void run(struct chore *chore)
{
    struct stream_table *table = CONTAINER_OF(chore, struct stream_table, chore);
    fly(CONTAINER_OF(table, struct store, stream));
}

static enum stream_outcome outcome_of(enum backend_answer answer, struct span reply, size_t at)
{
    if (answer != BACKEND_OK || at >= reply.len) {
        return STREAM_REFUSED;
    }
    return reply.ptr[at] == '1' ? STREAM_STORED : STREAM_FULL;
}

static void on_appended(void *arg, enum backend_answer answer, struct span reply)
{
    struct store *store = arg;
    struct stream_table *table = &store->stream;
    table->in_flight = false;
    if (answer == BACKEND_LOST) {
        return; /* it waits for the link, or for the end of patience */
    }
    size_t at = 0;
    while (!list_empty(&table->flight)) {
        struct append *append = append_of(table->flight.next);
        list_del(&append->group.entry);
        conclude(store, append, outcome_of(answer, reply, at++));
        append_free(append);
    }
    store_kick(store, &table->chore);
}

/* Those who have waited long enough hear so. One in flight keeps its place, empty: the outcomes of
 * the others stand behind it. */
static void give_up(struct store *store)
{
    struct stream_table *table = &store->stream;
    uint64_t now = clock_monotonic_us();
    bool left = false;
    LIST_EACH(it, &table->waiting) {
        struct append *append = append_of(it);
        if (now - append->since_us > PATIENCE_US) {
            table->waiting_bytes -= append->group.items.len;
            conclude(store, append, STREAM_REFUSED);
            append_free(append);
        }
    }
    LIST_EACH(it, &table->flight) {
        struct append *append = append_of(it);
        if (now - append->since_us > PATIENCE_US && append->fn != NULL) {
            conclude(store, append, STREAM_UNKNOWN);
            append->group.count = 0;
            append->group.items.len = 0;
        }
        left = left || append->fn != NULL;
    }
    while (!left && !table->in_flight && !list_empty(&table->flight)) {
        append_free(append_of(table->flight.next));
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct store *store = arg;
    (void)fd, (void)what;
    store_enter(store);
    give_up(store);
    if (!list_empty(&store->stream.waiting) || !list_empty(&store->stream.flight)) {
        timer_after(store->stream.tick, STREAM_TICK_MS);
    }
    store_leave(store);
}

int stream_append(struct store *store, const struct stream_item *items, size_t count,
                  stream_append_fn *fn, void *arg)
{
    struct stream_table *table = &store->stream;
    if (!store->shards[stream_shard(store)].up || table->waiting_bytes > WAITING_BYTES) {
        return -1;
    }
    struct append *append = mem_zalloc(sizeof(*append));
    append->fn = fn;
    append->arg = arg;
    append->since_us = clock_monotonic_us();
    append->group.count = count;
    for (size_t i = 0; i < count; i++) {
        stream_item_put(&append->group.items, &items[i]);
    }
    table->waiting_bytes += append->group.items.len;
    list_push_back(&table->waiting, &append->group.entry);
    store_kick(store, &table->chore);
    if (!evtimer_pending(table->tick, NULL)) {
        timer_after(table->tick, STREAM_TICK_MS);
    }
    return 0;
}

void stream_on_link(struct store *store, unsigned shard, bool up)
{
    if (up && shard == stream_shard(store)) {
        store_kick(store, &store->stream.chore);
    }
}

/* ------------------------------------------------------------------------------------ reading */

/* What waits for an answer stands in the table's list of questions, and goes with the store. */
struct reading {
    struct list entry;
    struct store *store;
    stream_read_fn *fn;
    void *arg;
};

static void on_entries(void *arg, bool ok, const struct stream_entry *entries, size_t count)
{
    struct reading *reading = arg;
    if (!reading->store->closing) {
        reading->fn(reading->arg, ok, entries, count);
    }
    list_del(&reading->entry);
    free(reading);
}

static int read_query(struct store *store, const struct stream_query *query, stream_read_fn *fn,
                      void *arg)
{
    unsigned shard = stream_shard(store);
    struct reading *reading = mem_zalloc(sizeof(*reading));
    *reading = (struct reading){.store = store, .fn = fn, .arg = arg};
    list_push_back(&store->stream.questions, &reading->entry);
    if (!store->shards[shard].up ||
        store->backend->ops->stream_read(store->backend, shard, query, on_entries, reading) != 0) {
        list_del(&reading->entry);
        free(reading);
        return -1;
    }
    return 0;
}

int stream_read(struct store *store, const struct stream_from *from, size_t lanes, size_t most,
                stream_read_fn *fn, void *arg)
{
    struct stream_query query = {from, lanes, most, false};
    return read_query(store, &query, fn, arg);
}

int stream_read_back(struct store *store, unsigned lane, uint64_t last, size_t most,
                     stream_read_fn *fn, void *arg)
{
    struct stream_from from = {lane, last};
    struct stream_query query = {&from, 1, most, true};
    return read_query(store, &query, fn, arg);
}

/* ------------------------------------------------------------------------------------ the state */

struct asking {
    struct list entry;
    struct store *store;
    stream_state_fn *fn;
    void *arg;
};

static uint64_t cut_number(struct span *rest)
{
    uint64_t number;
    return decimal_read(span_cut(rest, ' '), UINT64_MAX, &number) ? number : 0;
}

static void read_state(struct span text, struct stream_state *state)
{
    state->last = cut_number(&text);
    uint64_t lanes = cut_number(&text);
    state->lanes = lanes < STREAM_LANES_MOST ? (unsigned)lanes : STREAM_LANES_MOST;
    state->entries = cut_number(&text);
    for (unsigned i = 0; i < state->lanes; i++) {
        state->unstored[i] = cut_number(&text);
    }
}

static void on_state(void *arg, enum backend_answer answer, struct span reply)
{
    struct asking *asking = arg;
    struct stream_state state = {0};
    if (!asking->store->closing) {
        read_state(reply, &state);
        asking->fn(asking->arg, answer == BACKEND_OK ? &state : NULL);
    }
    list_del(&asking->entry);
    free(asking);
}

int stream_state(struct store *store, const struct stream_mark *marks, size_t count, uint64_t keep,
                 bool sink, stream_state_fn *fn, void *arg)
{
    unsigned shard = stream_shard(store);
    struct stream_marks call = {marks, count, keep, sink};
    struct asking *asking = mem_zalloc(sizeof(*asking));
    *asking = (struct asking){.store = store, .fn = fn, .arg = arg};
    list_push_back(&store->stream.questions, &asking->entry);
    if (!store->shards[shard].up ||
        store->backend->ops->stream_state(store->backend, shard, &call, on_state, asking) != 0) {
        list_del(&asking->entry);
        free(asking);
        return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ life */

void stream_setup(struct store *store, const struct stream_limits *limits)
{
    store->stream.limits = *limits;
}

void stream_init(struct store *store)
{
    struct stream_table *table = &store->stream;
    table->limits = (struct stream_limits){.lanes = 1, .entries = UINT32_MAX};
    table->chore.run = run;
    list_init(&table->chore.entry);
    list_init(&table->waiting);
    list_init(&table->flight);
    list_init(&table->questions);
    table->tick = evtimer_new(store->base, on_tick, store);
}

void stream_deinit(struct store *store)
{
    struct stream_table *table = &store->stream;
    list_splice(&table->flight, &table->waiting);
    while (!list_empty(&table->flight)) {
        append_free(append_of(table->flight.next));
    }
    while (!list_empty(&table->questions)) {
        /* A reading or an asking: of both it is the first member. */
        static_assert(offsetof(struct reading, entry) == 0, "freed by its list entry");
        static_assert(offsetof(struct asking, entry) == 0, "freed by its list entry");
        struct list *first = table->questions.next;
        list_del(first);
        free(first);
    }
    list_del(&table->chore.entry);
    event_free(table->tick);
}
