/* SPDX-License-Identifier: MIT */
/* What happens to all keys of a shard at once: its link goes, its leases end. It is counted there
 * (struct roster_past), and each key does what it means for it when it is next looked at, with a sweep
 * over all keys at the latest. So it is when a partition gets another server. */
#include "store/base/clock.h"
#include "store/roster/impl.h"

/* What the key should have seen. */
static struct roster_past past_of(const struct roster_key *key)
{
    const struct shard *shard = &key->store->shards[key->shard];
    struct roster_past past = roster_leases(key->store, key->shard)->past;
    past.downs = shard->past.downs;
    past.ups = shard->up ? shard->past.ups : key->seen.ups; /* seen once it lasts */
    past.moves = shard->up ? shard->past.moves : key->seen.moves;
    return past;
}

static bool is_same(const struct roster_past *a, const struct roster_past *b)
{
    return a->downs == b->downs && a->ups == b->ups && a->moves == b->moves &&
           a->renames == b->renames && a->others == b->others && a->judged == b->judged &&
           a->holds == b->holds;
}

void roster_key_begin(struct roster_key *key)
{
    key->seen.ups = key->store->shards[key->shard].past.ups;
    key->seen.moves = key->store->shards[key->shard].past.moves;
    key->seen = past_of(key);
}

/* Where it belongs by now. */
static unsigned shard_of(const struct roster_key *key)
{
    return key->store->backend->owner[key->partition];
}

bool roster_key_is_behind(const struct roster_key *key)
{
    const struct roster_past past = past_of(key);
    return key->shard != shard_of(key) || !is_same(&key->seen, &past);
}

static void see_links(struct roster_key *key, const struct roster_past *past)
{
    if (key->seen.downs != past->downs) {
        key->listening = false;
        key->want_snapshot = true;
        key->stale = true;
    }
    if (key->seen.ups != past->ups) {
        roster_view_doubt(&key->view, key->seen.moves != past->moves);
        key->refused = false;
    }
}

/* Everything that is claimed goes to the server again. */
static void claim_again(struct roster_key *key)
{
    LIST_EACH(it, &key->settled) {
        struct roster_claim *claim = LIST_ITEM(it, struct roster_claim, entry);
        claim->again = false;
        claim_move(key, claim, CLAIM_PENDING);
    }
    LIST_EACH(it, &key->sent) {
        LIST_ITEM(it, struct roster_claim, entry)->again = true;
    }
}

static void see_leases(struct roster_key *key, const struct roster_past *past)
{
    if (key->seen.holds != past->holds) {
        roster_view_rehold(&key->view, clock_monotonic_us() + roster_lease_us(key->store));
    }
    if (key->seen.renames != past->renames) {
        claim_again(key);
    }
    if (key->seen.others != past->others) {
        roster_view_doubt(&key->view, true);
        key->want_snapshot = true;
    }
    key->judge |= key->seen.judged != past->judged;
}

static void see_past(struct roster_key *key)
{
    const struct roster_past past = past_of(key);
    if (!is_same(&key->seen, &past)) {
        see_links(key, &past);
        see_leases(key, &past);
        key->seen = past;
        roster_key_kick(key);
    }
}

/* It has another server, and nothing there: as at a server that lost its data. */
static void move(struct roster_key *key, unsigned shard)
{
    list_del(&key->queue);
    key->shard = shard;
    key->view.lease = &roster_leases(key->store, shard)->lease;
    key->listening = key->heard = key->refused = false;
    key->want_snapshot = key->stale = true;
    key->goal_birth = key->goal_version = 0;
    roster_view_doubt(&key->view, true);
    claim_again(key);
    roster_key_begin(key);
    roster_key_kick(key);
}

void roster_key_catch_up(struct roster_key *key)
{
    see_past(key);
    if (key->shard != shard_of(key)) {
        move(key, shard_of(key));
    }
}
