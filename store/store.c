/* SPDX-License-Identifier: MIT */
#include "store/store.h"

#include "store/backend.h"
#include "store/base/check.h"
#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/inspect.h"
#include "store/store_impl.h"

enum { UNREAD_PAUSE_MS = 10 * 1000 };

void store_kick(struct store *store, struct chore *chore)
{
    if (list_empty(&chore->entry)) {
        list_push_back(&store->chores, &chore->entry);
    }
    if (!evtimer_pending(store->turn, NULL)) {
        timer_after(store->turn, 0);
    }
}

unsigned store_shard(const struct store *store, struct span name)
{
    return store->backend->owner[partition_of(name)];
}

unsigned store_key_shard(const struct store *store, struct span key)
{
    int partition = partition_of_key(key);
    CHECK(partition >= 0);
    return store->backend->owner[partition];
}

void store_shard_key(const struct store *store, unsigned shard, const char *kind, struct buf *out)
{
    if (store->backend->tagged) {
        buf_printf(out, "%s:{%s}:%s", store->prefix, partition_tag(shard), kind);
    } else {
        buf_printf(out, "%s:%s", store->prefix, kind);
    }
}

void store_on_moved(struct store *store, unsigned shard)
{
    store->shards[shard].moved = true;
}

void store_on_trouble(struct store *store, const char *text)
{
    if (store->observer.trouble != NULL && !store->closing) {
        store->observer.trouble(store->observer.arg, text);
    }
}

/* A claim was refused lately: it is tried again with each renewal, so that this passes by itself.
 * Others that were taken meanwhile say nothing: they may have needed no room. */
static bool refuses(const struct store *store, unsigned shard)
{
    uint64_t at = store->shards[shard].refused_us;
    return at != 0 && clock_monotonic_us() - at < (uint64_t)store->lease_ms * 1000 / 2;
}

static bool is_well(const struct store *store, unsigned shard)
{
    return store->backend->ops->ready(store->backend, shard) && !refuses(store, shard);
}

static unsigned count_well(const struct store *store)
{
    unsigned well = 0;
    for (unsigned i = 0; i < store->backend->shards; i++) {
        well += is_well(store, i);
    }
    return well;
}

bool store_ready(const struct store *store)
{
    return count_well(store) == store->backend->shards;
}

bool store_works(const struct store *store)
{
    return count_well(store) > 0 && store_refusal(store) == NULL;
}

static unsigned partitions_of(const struct store *store, unsigned shard)
{
    unsigned count = 0;
    for (unsigned i = 0; i < PARTITIONS; i++) {
        count += store->backend->owner[i] == shard;
    }
    return count;
}

unsigned store_partitions_away(const struct store *store)
{
    unsigned away = 0;
    for (unsigned i = 0; i < store->backend->shards; i++) {
        away += is_well(store, i) ? 0 : partitions_of(store, i);
    }
    return away;
}

static const char *server_name(const struct store *store, unsigned shard)
{
    return store->backend->ops->name(store->backend, shard);
}

/* Is the server of that shard the one of an earlier shard, too? (In a cluster one has many.) */
static bool is_named_before(const struct store *store, unsigned shard, bool only_away)
{
    for (unsigned i = 0; i < shard; i++) {
        if (server_name(store, i) == server_name(store, shard) &&
            !(only_away && is_well(store, i))) {
            return true;
        }
    }
    return false;
}

bool store_is_named_before(const struct store *store, unsigned shard)
{
    return is_named_before(store, shard, false);
}

/* Of those that are away: what their links said, where they said anything. */
static void print_troubles(const struct store *store, struct buf *out)
{
    const char *between = ": ";
    for (unsigned i = 0; i < store->backend->shards; i++) {
        if (!is_well(store, i) && store->shards[i].trouble != NULL &&
            !is_named_before(store, i, true)) {
            buf_printf(out, "%s%s", between, store->shards[i].trouble);
            between = "; ";
        }
    }
}

void store_print_away(const struct store *store, struct buf *out)
{
    size_t begin = out->len;
    for (unsigned i = 0; i < store->backend->shards; i++) {
        if (!is_well(store, i) && !is_named_before(store, i, true)) {
            buf_printf(out, "%s%s", out->len > begin ? ", " : "away: ", server_name(store, i));
        }
    }
    if (out->len > begin) {
        buf_printf(out, " (%u of %d partitions)", store_partitions_away(store), PARTITIONS);
        print_troubles(store, out);
    }
}

unsigned store_partitions_waiting(const struct store *store)
{
    return store->change.waiting;
}

void store_print_change(const struct store *store, struct buf *out)
{
    const struct store_change *change = &store->change;
    unsigned moved = change->all - change->waiting;
    if (change->after == NULL) {
        return;
    }
    if (change->over) {
        buf_append(out, SPAN("the list of servers has changed: all may go on with the new one"));
    } else if (change->waiting == 0) {
        buf_printf(out,
                   "the list of servers changes: all %u partitions have moved, and what they "
                   "left behind is deleted",
                   moved);
    } else if (change->moving) {
        buf_printf(out, "the list of servers changes: %u of %u partitions have moved", moved,
                   change->all);
    } else {
        buf_printf(out,
                   "the list of servers changes: %u partitions wait until all nodes and sinks "
                   "have both lists",
                   change->waiting);
    }
}

void store_print_map(const struct store *store, struct buf *out)
{
    if (store->backend->ops->print_map != NULL) {
        store->backend->ops->print_map(store->backend, out);
    }
}

static bool is_server_well(const struct store *store, unsigned shard)
{
    bool well = true;
    for (unsigned i = shard; i < store->backend->shards; i++) {
        well = well && (server_name(store, i) != server_name(store, shard) || is_well(store, i));
    }
    return well;
}

void store_each_server(const struct store *store,
                       void (*fn)(void *arg, const struct store_place *place), void *arg)
{
    struct backend *backend = store->backend;
    for (unsigned i = 0; i < backend->shards; i++) {
        if (!is_named_before(store, i, false)) {
            const struct store_place place = {
                .name = server_name(store, i),
                .at = backend->ops->at != NULL ? backend->ops->at(backend, i) : NULL,
                .timeline = backend->ops->timeline(backend, i),
                .well = is_server_well(store, i),
            };
            fn(arg, &place);
        }
    }
}

bool store_reaches(const struct store *store, struct span name)
{
    return is_well(store, store_shard(store, name));
}

static unsigned lower(unsigned at, unsigned known)
{
    return known != 0 && known < at ? known : at;
}

/* What all read, and this one; and what of that is used: an older form at once, a newer one when the rolls have it. */
static void find_shared(struct store *store)
{
    unsigned said = store->wire_most;
    store->wire_shared = store->wire_most;
    for (unsigned i = 0; i < store->backend->shards; i++) {
        store->wire_shared = lower(store->wire_shared, store->shards[i].wire_shared);
        said = lower(said, store->shards[i].wire_said);
    }
    store->wire_used = lower(said, store->wire_shared);
}

unsigned store_wire_now(const struct store *store)
{
    unsigned now = store->wire_used < store->wire.to ? store->wire_used : store->wire.to;
    return now > store->wire.from ? now : store->wire.from;
}

/* Does something wait to be stored in another part of the stream than the first? */
static bool is_scattered(const struct store *store)
{
    size_t open = 0;
    for (unsigned i = 1; i < STREAM_PARTS; i++) {
        open += store->stream.parts[i].open;
    }
    return open > 0;
}

/* What was begun in the newer form is ended in it first. */
unsigned store_wire_on_rolls(const struct store *store)
{
    unsigned now = store->wire_shared > store->wire.from ? store->wire_shared : store->wire.from;
    return now < STORE_WIRE_PARTS && is_scattered(store) ? STORE_WIRE_PARTS : now;
}

void store_on_unread(struct store *store, enum wire_unread kind, const char *text)
{
    uint64_t now = clock_monotonic_ms();
    store->stats.unread[kind]++;
    if (store->unread_told_ms == 0 || now - store->unread_told_ms >= UNREAD_PAUSE_MS) {
        store->unread_told_ms = now;
        store_on_trouble(store, text);
    }
}

static void set_text(char **at, const char *text)
{
    free(*at);
    *at = text != NULL ? mem_dup(span_str(text)) : NULL;
}

void store_on_roll(struct store *store, unsigned shard, unsigned shared, const char *text)
{
    store->shards[shard].wire_shared = shared;
    find_shared(store);
    set_text(&store->shards[shard].wire_text, text);
}

void store_on_said(struct store *store, unsigned shard, unsigned said)
{
    store->shards[shard].wire_said = said;
    find_shared(store);
}

void store_on_refusal(struct store *store, unsigned shard, const char *text)
{
    set_text(&store->shards[shard].refusal, text);
}

void store_note_trouble(struct store *store, unsigned shard, const char *text)
{
    set_text(&store->shards[shard].trouble, text);
}

const char *store_refusal(const struct store *store)
{
    for (unsigned i = 0; i < store->backend->shards; i++) {
        if (store->shards[i].refusal != NULL) {
            return store->shards[i].refusal;
        }
    }
    return NULL;
}

void store_print_wire(const struct store *store, struct buf *out)
{
    for (unsigned i = 0; i < store->backend->shards; i++) {
        if (store->shards[i].wire_text != NULL) {
            buf_append(out, span_str(store->shards[i].wire_text));
            return;
        }
    }
}

const struct store_stats *store_stats(const struct store *store)
{
    return &store->stats;
}
