/* SPDX-License-Identifier: MIT */
/* This node's lease on each server, in a cluster in each of 16 tables: renewed by a beat, whose answer
 * says which leases live.
 *
 *     link up --> beat --answer--> claims and snapshots may go --> a beat every BEAT ...
 *                             \--> what the answer means for the keys:
 *         another token               this node's lease ran out: claim all again
 *         another table or timeline   the server may lack what it was told, a release as well as a
 *                                     claim: claim all again under another token, read all again,
 *                                     and who is missing is held for one lease
 *         other nodes live            views drop the members of those that do not
 *
 * No claim is made before the link's first beat was answered, nor when the last answer is so old that
 * the lease may be over: a claim of a lease that is over would be seen by nobody. */
#include "store/base/clock.h"
#include "store/base/mem.h"
#include "store/bus_impl.h"
#include "store/roster/impl.h"
#include "store/sweep.h"

struct lease_beat {
    struct store *store;
    unsigned shard;
    bool elsewhere; /* the server may lack what it was told */
    char timeline[LEASE_TIMELINE_MOST + 1];
};

bool roster_is_leased(const struct store *store, unsigned shard)
{
    return clock_monotonic_us() < roster_leases(store, shard)->leased_us;
}

bool roster_hears(const struct store *store, unsigned shard)
{
    return roster_is_leased(store, shard) && store->backend->ops->ready(store->backend, shard);
}

void roster_queue(struct roster_key *key)
{
    if (list_empty(&key->queue)) {
        list_push_back(&key->store->shards[key->shard].queue, &key->queue);
    }
}

void roster_flush(struct store *store)
{
    for (unsigned i = 0; i < store->backend->shards; i++) {
        struct shard *s = &store->shards[i];
        while (!list_empty(&s->queue) && s->touches < roster_touches_most(store) &&
               roster_is_leased(store, i)) {
            struct roster_key *key = LIST_ITEM(s->queue.next, struct roster_key, queue);
            list_del(&key->queue);
            roster_key_touch(key);
        }
    }
}

/* Views drop the members of nodes that do not live. */
static void judge_all(struct store *store, unsigned shard)
{
    store->shards[shard].past.judged++;
    sweep_start(&store->roster.sweep);
}

void roster_end_grace(struct store *store, uint64_t now_us)
{
    for (unsigned i = 0; i < store->backend->shards; i++) {
        struct shard *s = &store->shards[i];
        if (s->lease.grace && now_us >= s->grace_us && roster_hears(store, i)) {
            s->lease.grace = false;
            judge_all(store, i);
        }
    }
}

static void ask_again(struct store *store, unsigned shard, bool other)
{
    store->shards[shard].past.renames++;
    store->shards[shard].past.others += other;
    sweep_start(&store->roster.sweep);
}

/* Nothing was heard for so long that others may have come back unheard, or may come only now: what is
 * held is held for a lease from now on. */
static void hold_on(struct store *store, unsigned shard)
{
    store->shards[shard].grace_us = clock_monotonic_us() + roster_lease_us(store);
    store->shards[shard].past.holds++;
    sweep_start(&store->roster.sweep);
}

/* A node that died is one whose lease the answer does not list any more: each view drops its members,
 * and watches are told ROSTER_GONE. Where it is this node that others took for dead, or the server may
 * lack what it was told, all is claimed again, and none that is missing counts as dead for a lease. */
static void apply(struct store *store, unsigned shard, const struct roster_lease_news *news,
                  bool first, bool other)
{
    struct shard *s = &store->shards[shard];
    if (other) {
        s->lease.grace = true;
        s->grace_us = clock_monotonic_us() + roster_lease_us(store);
    }
    if (news->renamed && !first && !other) {
        bus_attended_gap(store, shard); /* others have taken this node for dead */
    }
    if (news->renamed || other) {
        ask_again(store, shard, other);
    }
    if (news->listed) {
        judge_all(store, shard);
    }
}

/* What waits for a lease cannot be asked now. */
static void tell_refused(struct store *store, unsigned shard)
{
    store->shards[shard].refused_us = clock_monotonic_us();
    for (unsigned i = 0; i < store->backend->shards; i++) {
        if (store->backend->lease_at[i] == shard) {
            roster_go_through(store, &store->roster.returning, &store->shards[i].queue);
        }
    }
}

/* May the server lack what it was told? Where nothing is known of its history, a new link means so.
 * This node forgets a key with its last claim there: if the server did not hear of that, only a lease
 * that runs out takes the member away. So the beat asks for another token. */
static bool is_elsewhere(const struct shard *s, const char *timeline)
{
    bool unknown = strcmp(timeline, "-") == 0 && s->leased_us == 0;
    bool other = unknown || s->doubted || strcmp(timeline, s->lease.timeline) != 0;
    return s->lease.birth != 0 && other;
}

static void on_answer(void *arg, enum backend_answer answer, struct span reply)
{
    struct lease_beat *beat = arg;
    struct store *store = beat->store;
    struct shard *s = &store->shards[beat->shard];
    struct roster_lease_news news;
    bool first = s->lease.birth == 0;
    s->beat = NULL;
    s->doubted |= beat->elsewhere && answer != BACKEND_OK;
    if (answer == BACKEND_OK && s->up && roster_lease_read(&s->lease, reply, &news) == 0) {
        bool other = !first && (news.reborn || beat->elsewhere);
        if (!roster_is_leased(store, beat->shard)) {
            hold_on(store, beat->shard);
        }
        store->stats.renewals++;
        memcpy(s->lease.timeline, beat->timeline, sizeof(beat->timeline));
        s->leased_us = s->beat_us + roster_ttl_us(store);
        apply(store, beat->shard, &news, first, other);
        roster_flush(store);
    } else if (answer != BACKEND_LOST && s->up) {
        tell_refused(store, beat->shard);
    }
    free(beat);
}

void roster_beat(struct store *store, unsigned shard)
{
    struct shard *s = &store->shards[shard];
    struct backend *backend = store->backend;
    struct lease_beat *beat = mem_zalloc(sizeof(*beat));
    struct span timeline = backend->ops->timeline(backend, shard);
    beat->store = store;
    beat->shard = shard;
    snprintf(beat->timeline, sizeof(beat->timeline), "%.*s", SPAN_ARG(timeline));
    bool same = strcmp(beat->timeline, s->lease.timeline) == 0;
    beat->elsewhere = is_elsewhere(s, beat->timeline);
    s->doubted = false; /* unless the answer gets lost; before the first beat nothing was claimed */
    struct roster_beat words = {
        .node = span_str(store->node),
        .token = beat->elsewhere ? 0 : s->lease.token,
        .birth = s->lease.birth,
        .version = same ? s->lease.version : 0,
        .floor = s->lease.floor,
        .ttl_us = roster_ttl_us(store),
        .beat_us = roster_beat_us(store),
    };
    s->beat_us = clock_monotonic_us();
    if (backend->ops->beat(backend, shard, &words, on_answer, beat) < 0) {
        free(beat);
    } else {
        s->beat = beat;
    }
}

/* Beats when the last one went out that many eighths of a beat ago. */
static void beat_when_due(struct store *store, unsigned shard, unsigned eighths)
{
    const struct shard *s = &store->shards[shard];
    uint64_t ago = clock_monotonic_us() - s->beat_us;
    bool due = s->leased_us == 0 || ago * 8 >= roster_beat_us(store) * eighths;
    bool leases = store->backend->lease_at[shard] == shard;
    if (store->roster.ticking && leases && s->up && s->beat == NULL && due) {
        roster_beat(store, shard);
    }
}

/* Where links pulse, those are waited for a moment. */
void roster_beat_all(struct store *store)
{
    for (unsigned i = 0; i < store->backend->shards; i++) {
        beat_when_due(store, i, store->backend->pulses ? 9 : 7);
    }
}

void roster_pulse(struct store *store, unsigned shard)
{
    beat_when_due(store, shard, 4);
    roster_end_patience(store, shard);
}
