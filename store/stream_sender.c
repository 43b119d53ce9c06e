/* SPDX-License-Identifier: MIT */
/* The calls of one part.
 *
 *     an append's share -> waiting --joined, when the one before is answered--> call -> outcomes, kept
 *                                                                               |  ^
 *                                                                   link lost   v  | link up: again
 *
 * One call is in flight at a time: then the server has to remember only each node's last one to
 * know what it has carried out. What was answered is kept for a while: a server that lacks it (a
 * replica that was promoted, an older file) says so, and gets it before anything that is newer. */
#include "store/stream_sender.h"

#include "store/base/clock.h"
#include "store/base/entropy.h"
#include "store/base/timer.h"
#include "store/store_impl.h"
#include "store/stream_call.h"
#include "store/stream_part.h"
#include "store/stream_whole.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    CALL_BYTES = 1024 * 1024, /* after which a call takes no more groups in */
    CALL_GROUPS = 512,
    WAITING_BYTES = 16 * 1024 * 1024,
    PATIENCE_US = 5 * 1000 * 1000,
    STREAM_TICK_MS = 200,
    KEPT_US = 10 * 1000 * 1000, /* longer than a server that stands still is believed in */
    KEPT_BYTES = 8 * 1024 * 1024,
    HOLLOW_MOST = 4096,
    /* For so long a part that refused something is spared what others would have to share; and one whose server has
     * not answered for so long. */
    UNWELL_US = 1000 * 1000,
};

static unsigned home_of(const struct stream_table *table)
{
    return stream_part_home(table->store, table->part);
}

/* ------------------------------------------------------------------------------------ appending */

/* Its share of one part. */
struct append {
    struct stream_group group;
    struct stream_whole *whole; /* NULL: it knows what became of its share */
    uint64_t lanes;             /* a bit for each */
    uint64_t since_us;
    bool narrow; /* part 0 was all of the stream then */
};

static struct append *append_of(struct list *link)
{
    return CONTAINER_OF(link, struct append, group.entry);
}

static void append_free(struct append *append)
{
    list_del(&append->group.entry);
    chunk_unref(append->group.items);
    stream_whole_unref(append->whole);
    free(append);
}

/* What was to be stored is not to be stored any more. */
static void empty(struct append *append)
{
    chunk_unref(append->group.items);
    append->group.items = NULL;
    append->group.count = 0;
}

static void conclude(struct stream_table *table, struct append *append, enum stream_outcome outcome)
{
    struct stream_whole *whole = append->whole;
    append->whole = NULL;
    if (whole != NULL) {
        table->open--;
        stream_whole_conclude(whole, append->lanes, outcome, !table->store->closing);
    }
}

struct stream_sent {
    struct list entry;
    uint64_t number;
    struct list groups; /* struct append; their callers may be gone */
    size_t bytes, count;
    uint64_t seq;        /* none of its entries is above, where it was written last */
    struct buf outcomes; /* while replicas are waited for */
    uint64_t done_us;    /* 0: not answered */
    bool narrow; /* it has some that lie in another part from now on, if the stream is spread */
};

static struct stream_sent *sent_of(struct list *entry)
{
    return CONTAINER_OF(entry, struct stream_sent, entry);
}

static void sent_empty(struct stream_sent *sent)
{
    while (!list_empty(&sent->groups)) {
        append_free(append_of(sent->groups.next));
    }
}

static void sent_free(struct stream_sent *sent)
{
    sent_empty(sent);
    list_del(&sent->entry);
    buf_free(&sent->outcomes);
    free(sent);
}

static struct stream_sent *newest(const struct stream_table *table)
{
    return list_empty(&table->calls) ? NULL : sent_of(table->calls.prev);
}

/* Joins what waits into the next call. */
static void make_call(struct stream_table *table)
{
    struct stream_sent *sent = mem_zalloc(sizeof(*sent));
    size_t groups = 0;
    list_init(&sent->groups);
    sent->number = ++table->number;
    LIST_EACH(it, &table->waiting) {
        struct append *append = append_of(it);
        size_t len = append->group.items->len;
        if (groups == CALL_GROUPS || (groups > 0 && sent->bytes + len > CALL_BYTES)) {
            break;
        }
        append->group.first = (uint32_t)sent->count;
        sent->narrow = sent->narrow || append->narrow;
        list_del(it);
        list_push_back(&sent->groups, it);
        sent->bytes += len;
        sent->count += append->group.count;
        groups++;
    }
    table->waiting_bytes -= sent->bytes;
    list_push_back(&table->calls, &sent->entry);
}

/* The first call that the server lacks; NULL: it has all. */
static struct stream_sent *first_lacking(const struct stream_table *table)
{
    struct stream_sent *found = NULL;
    for (struct list *it = table->calls.prev; it != &table->calls; it = it->prev) {
        if (sent_of(it)->number <= table->have) {
            break;
        }
        found = sent_of(it);
    }
    return found;
}

static void on_appended(void *arg, enum backend_answer answer, struct span reply);

/* All parts together have so many entries as the stream may have. */
static struct stream_limits limits_of(const struct stream_table *table,
                                      const struct stream_sent *sent)
{
    struct stream_limits limits = table->store->stream.limits;
    if (sent->narrow) {
        return limits;
    }
    if (stream_is_spread(table->store)) {
        unsigned parts = limits.lanes < STREAM_PARTS ? limits.lanes : STREAM_PARTS;
        limits.entries = limits.entries / parts > 0 ? limits.entries / parts : 1;
    }
    limits.lanes = stream_part_lanes(table->store, table->part, limits.lanes);
    return limits;
}

/* What new numbers are above. Where rooms go from one part to another, their numbers go on, too; else the clock
 * of one server is no business of the others. */
static uint64_t floor_of(const struct stream_table *table, const struct stream_sent *sent)
{
    const struct stream_tables *all = &table->store->stream;
    uint64_t seen = table->seen > all->narrow_seen ? table->seen : all->narrow_seen;
    for (unsigned i = 0; i < STREAM_PARTS && sent->narrow; i++) {
        seen = all->parts[i].seen > seen ? all->parts[i].seen : seen;
    }
    return seen;
}

/* Sends what is to be sent, if it can be. */
static void fly(struct stream_table *table)
{
    struct store *store = table->store;
    unsigned shard = home_of(table);
    char fresh[STREAM_IDENTITY_DIGITS + 1];
    if (table->in_flight != 0 || !store->shards[shard].up) {
        return;
    }
    struct stream_sent *sent = first_lacking(table);
    if (sent == NULL && !list_empty(&table->waiting)) {
        make_call(table);
        sent = newest(table);
    }
    if (sent == NULL) {
        return;
    }
    struct stream_limits limits = limits_of(table, sent);
    entropy_hex(fresh, STREAM_IDENTITY_DIGITS);
    struct stream_call call = {
        .part = table->part,
        .spread = table->part > 0 || stream_may_spread(store),
        .limits = &limits,
        .node = span_str(store->node),
        .number = sent->number,
        .before = table->have,
        .seen = floor_of(table, sent),
        .identity = span_str(table->history.identity),
        .fresh = span_str(fresh),
        .groups = &sent->groups,
    };
    struct backend *backend = store->backend;
    if (backend->ops->stream_append(backend, shard, &call, on_appended, table) == 0) {
        table->in_flight = sent->number;
        table->flown_us = clock_monotonic_us();
    }
}

static void run(struct chore *chore)
{
    fly(CONTAINER_OF(chore, struct stream_table, chore));
}

static enum stream_outcome outcome_of(enum backend_answer answer, struct span outcomes, size_t at)
{
    if (answer != BACKEND_OK || at >= outcomes.len) {
        return STREAM_REFUSED;
    }
    return outcomes.ptr[at] == '1' ? STREAM_STORED : STREAM_FULL;
}

/* Tells the callers: those whose entries were stored that they are `stored`. What was refused must not
 * be stored later, by another server. */
static void conclude_call(struct stream_table *table, struct stream_sent *sent,
                          enum backend_answer answer, struct span outcomes,
                          enum stream_outcome stored)
{
    size_t at = 0;
    table->unwell_us = 0;
    LIST_EACH(it, &sent->groups) {
        struct append *append = append_of(it);
        enum stream_outcome outcome = outcome_of(answer, outcomes, at++);
        outcome = outcome == STREAM_STORED ? stored : outcome;
        if (outcome != STREAM_STORED) {
            sent->count -= append->group.count;
            empty(append);
            table->unwell_us = clock_monotonic_us();
        }
        conclude(table, append, outcome);
    }
}

static bool is_same_stream(const struct stream_table *table, const struct stream_history *history)
{
    return strcmp(history->identity, table->history.identity) == 0;
}

/* The server lacks what it, or the one before it, had taken: what is kept goes again, what is not
 * is lost. A stream that was made again lost all: what sinks had is no loss. */
static void fall_back(struct stream_table *table, const struct stream_answer *answer)
{
    struct store *store = table->store;
    bool same = is_same_stream(table, &answer->history);
    uint64_t before = store->stats.lost;
    LIST_EACH(it, &table->hollow) {
        struct stream_sent *sent = sent_of(it);
        if (sent->number > answer->known) {
            store->stats.lost += same || sent->seq > table->stored ? sent->count : 0;
            sent_free(sent);
            table->hollow_count--;
        }
    }
    if (same && answer->known > 0 && answer->known < table->forgotten) {
        store->stats.lost += table->forgotten - answer->known; /* at least one entry in each */
        table->forgotten = answer->known;
    }
    table->have = answer->known;
    if (store->stats.lost > before) {
        char text[96];
        snprintf(text, sizeof(text),
                 "%" PRIu64 " log entries that Redis had accepted are lost: no node kept them",
                 store->stats.lost - before);
        store_on_trouble(store, text);
    }
}

/* What is known of a stream says nothing of another one. */
static void follow(struct stream_table *table, const struct stream_sent *sent,
                   const struct stream_answer *answer)
{
    if (!is_same_stream(table, &answer->history)) {
        table->stored = 0;
    }
    table->stored = answer->stored > table->stored ? answer->stored : table->stored;
    table->history = answer->history;
    table->seen = answer->last > table->seen ? answer->last : table->seen;
    if (sent->narrow && answer->last > table->store->stream.narrow_seen) {
        table->store->stream.narrow_seen = answer->last;
    }
}

static struct stream_sent *in_flight(struct stream_table *table)
{
    LIST_EACH(it, &table->calls) {
        if (sent_of(it)->number == table->in_flight) {
            return sent_of(it);
        }
    }
    return NULL;
}

static void finish_call(struct stream_table *table, struct stream_sent *sent, struct span outcomes,
                        enum stream_outcome stored)
{
    sent->done_us = clock_monotonic_us();
    table->kept_bytes += sent->bytes;
    conclude_call(table, sent, BACKEND_OK, outcomes, stored);
}

/* A call whose replicas are not heard of stays in flight: it goes again over the next link. */
static void on_replicated(void *arg, enum backend_answer answer, struct span reply)
{
    struct stream_table *table = arg;
    struct stream_sent *sent = in_flight(table);
    (void)reply;
    table->in_flight = 0;
    if (answer != BACKEND_LOST && sent != NULL) {
        finish_call(table, sent, buf_span(&sent->outcomes),
                    answer == BACKEND_OK ? STREAM_STORED : STREAM_ALONE);
        store_kick(table->store, &table->chore);
    }
}

/* True when the call stays in flight until replicas have it, or goes again: nobody is there to ask. */
static bool wait_for_replicas(struct stream_table *table, struct stream_sent *sent,
                              struct span outcomes)
{
    struct backend *backend = table->store->backend;
    if (table->store->replicas == 0 || outcomes.len == 0 ||
        memchr(outcomes.ptr, '1', outcomes.len) == NULL) {
        return false;
    }
    sent->outcomes.len = 0;
    buf_append(&sent->outcomes, outcomes);
    if (backend->ops->replicated(backend, home_of(table), on_replicated, table) == 0) {
        table->in_flight = sent->number;
    } else {
        table->have = sent->number - 1;
    }
    return true;
}

static void take_answer(struct stream_table *table, struct stream_sent *sent,
                        const struct stream_answer *answer)
{
    if (!answer->done) {
        fall_back(table, answer);
        return;
    }
    follow(table, sent, answer);
    sent->seq = answer->before && sent->seq != 0 ? sent->seq : answer->last;
    table->have = sent->number > table->have ? sent->number : table->have;
    if (sent->done_us != 0) {
        table->store->stats.brought += !answer->before;
        return;
    }
    if (!wait_for_replicas(table, sent, answer->outcomes)) {
        finish_call(table, sent, answer->outcomes, STREAM_STORED);
    }
}

static void on_appended(void *arg, enum backend_answer answer, struct span reply)
{
    struct stream_table *table = arg;
    struct stream_sent *sent = in_flight(table);
    struct stream_answer read = {0};
    table->in_flight = 0;
    if (answer == BACKEND_LOST) {
        return; /* it waits for the link, or for the end of patience */
    }
    if (answer == BACKEND_OK && stream_answer_read(reply, &read) == 0) {
        if (sent != NULL) {
            take_answer(table, sent, &read);
        }
    } else if (sent != NULL && sent->done_us == 0) {
        conclude_call(table, sent, BACKEND_REFUSED, span_of(NULL, 0), STREAM_REFUSED);
        sent_free(sent);
    } else {
        return; /* what is brought back can wait for the next call */
    }
    store_kick(table->store, &table->chore);
}

/* Tells callers that have waited too long. A call in flight keeps its place, empty: the outcomes of
 * the others stand behind it. */
static void give_up(struct stream_table *table)
{
    uint64_t now = clock_monotonic_us();
    struct stream_sent *sent = newest(table);
    bool left = false;
    LIST_EACH(it, &table->waiting) {
        struct append *append = append_of(it);
        if (now - append->since_us > PATIENCE_US) {
            table->waiting_bytes -= append->group.items->len;
            conclude(table, append, STREAM_REFUSED);
            append_free(append);
        }
    }
    if (sent == NULL || sent->done_us != 0) {
        return;
    }
    LIST_EACH(it, &sent->groups) {
        struct append *append = append_of(it);
        if (now - append->since_us > PATIENCE_US && append->whole != NULL) {
            conclude(table, append, STREAM_UNKNOWN);
            table->unwell_us = now;
            sent->count -= append->group.count;
            empty(append);
        }
        left = left || append->whole != NULL;
    }
    if (!left && table->in_flight != sent->number) {
        sent_free(sent);
    }
}

static size_t kept_bytes(const struct store *store)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        bytes += store->stream.parts[i].kept_bytes;
    }
    return bytes;
}

/* What is kept for one server that is away leaves the others some. */
static bool is_too_much(const struct stream_table *table)
{
    return kept_bytes(table->store) > KEPT_BYTES &&
           table->kept_bytes > KEPT_BYTES / STREAM_PARTS / 2;
}

/* What is old enough to be safe, or too much, is not kept. While the link is down nothing gets older: what
 * the server had taken last is what it may have lost, however long it is away. */
static void age(struct stream_table *table)
{
    uint64_t now = clock_monotonic_us();
    if (table->down_us != 0) {
        return;
    }
    while (!list_empty(&table->calls)) {
        struct stream_sent *sent = sent_of(table->calls.next);
        bool old = now - sent->done_us > KEPT_US || is_too_much(table);
        if (sent->done_us == 0 || sent->number == table->in_flight || !old) {
            break;
        }
        table->kept_bytes -= sent->bytes;
        sent_empty(sent);
        list_del(&sent->entry);
        list_push_back(&table->hollow, &sent->entry);
        if (++table->hollow_count > HOLLOW_MOST) {
            table->forgotten = sent_of(table->hollow.next)->number;
            sent_free(sent_of(table->hollow.next));
            table->hollow_count--;
        }
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct stream_table *table = arg;
    struct store *store = table->store;
    (void)fd, (void)what;
    store_enter(store);
    give_up(table);
    age(table);
    if (!list_empty(&table->waiting) || !list_empty(&table->calls)) {
        timer_after(table->tick, STREAM_TICK_MS);
    }
    store_leave(store);
}

/* ------------------------------------------------------------------------------------ what comes in */

static size_t waiting_bytes(const struct store *store)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        bytes += store->stream.parts[i].waiting_bytes;
    }
    return bytes;
}

/* What waits for one server that stands still leaves the others some. */
bool stream_sender_has_room(const struct stream_table *table)
{
    return table->store->shards[home_of(table)].up &&
           (waiting_bytes(table->store) <= WAITING_BYTES ||
            table->waiting_bytes <= WAITING_BYTES / STREAM_PARTS / 2);
}

bool stream_sender_is_well(const struct stream_table *table)
{
    uint64_t now = clock_monotonic_us();
    bool answers = table->in_flight == 0 || now - table->flown_us <= UNWELL_US;
    return stream_sender_has_room(table) && answers &&
           (table->unwell_us == 0 || now - table->unwell_us > UNWELL_US);
}

void stream_sender_queue(struct stream_table *table, struct chunk *items, size_t count,
                         uint64_t lanes, struct stream_whole *whole)
{
    struct append *append = mem_zalloc(sizeof(*append));
    append->whole = stream_whole_share(whole);
    append->lanes = lanes;
    append->since_us = clock_monotonic_us();
    append->narrow = !stream_is_spread(table->store);
    append->group.count = count;
    append->group.items = items;
    table->open++;
    table->waiting_bytes += items->len;
    list_push_back(&table->waiting, &append->group.entry);
    store_kick(table->store, &table->chore);
    if (!evtimer_pending(table->tick, NULL)) {
        timer_after(table->tick, STREAM_TICK_MS);
    }
}

/* ------------------------------------------------------------------------------------ what links tell */

/* The newest call once more: a server that lacks it says what it has. */
static void begin_again(struct stream_table *table)
{
    uint64_t newest_number = newest(table) != NULL ? newest(table)->number : 0;
    if (newest_number > 0 && table->have >= newest_number) {
        table->have = newest_number - 1;
    }
    store_kick(table->store, &table->chore);
}

void stream_sender_on_link(struct stream_table *table, bool up)
{
    uint64_t now = clock_monotonic_us();
    if (!up) {
        table->down_us = table->down_us != 0 ? table->down_us : now;
        return;
    }
    LIST_EACH(it, &table->calls) {
        struct stream_sent *sent = sent_of(it);
        sent->done_us += sent->done_us != 0 && table->down_us != 0 ? now - table->down_us : 0;
    }
    table->down_us = 0;
    begin_again(table);
}

/* A server that lost its data while the link was up: a node that has nothing to say notices by this. */
void stream_sender_on_state(struct stream_table *table, const struct stream_history *history,
                            uint64_t stored)
{
    if (table->history.identity[0] == '\0') {
        return;
    }
    if (strcmp(history->identity, table->history.identity) != 0) {
        begin_again(table);
    } else {
        table->stored = stored > table->stored ? stored : table->stored;
    }
}

/* ------------------------------------------------------------------------------------ life */

void stream_sender_init(struct stream_table *table, struct store *store, unsigned part)
{
    table->store = store;
    table->part = part;
    table->chore.run = run;
    list_init(&table->chore.entry);
    list_init(&table->waiting);
    list_init(&table->calls);
    list_init(&table->hollow);
    table->tick = evtimer_new(store->base, on_tick, table);
}

void stream_sender_deinit(struct stream_table *table)
{
    while (!list_empty(&table->waiting)) {
        append_free(append_of(table->waiting.next));
    }
    list_splice(&table->calls, &table->hollow);
    while (!list_empty(&table->calls)) {
        sent_free(sent_of(table->calls.next));
    }
    list_del(&table->chore.entry);
    event_free(table->tick);
}
