/* SPDX-License-Identifier: MIT */
/* One roster key against the server: what is wanted is compared with what is had, in the chore, and
 * at most one touch is under way. The order of a round:
 *
 *     hear the changes --> touch (claims; with a snapshot where the view needs one)
 *       --> answer: its version is the goal --> the view reaches it, by snapshot or changes
 *       --> CURRENT
 *
 * A change that gets lost is noticed because the next change does not continue the view, or because
 * the view has still not reached the goal two beats later: then it is read again.
 *
 * What the view says of this node's own members is compared with the claims, too: a write that came
 * late, over a link that was given up, is put right then. */
#include "store/base/check.h"
#include "store/base/clock.h"
#include "store/bus_impl.h"
#include "store/roster/impl.h"
#include "store/sweep.h"

enum {
    TOUCH_ENTRIES = 128,      /* claims in one touch */
    TOUCH_BYTES = 256 * 1024, /* or, from here on, fewer */
};

static void tell(struct roster_watch *watch, enum roster_event event,
                 const struct roster_member *member)
{
    static const struct roster_member nobody;
    if (watcher_listens(&watch->watcher)) {
        watch->fn(watch->arg, event, member != NULL ? member : &nobody);
    }
}

/* A roster_view_fn: passes the event to all watches that follow the view. */
static void tell_followers(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct roster_key *key = arg;
    WATCHERS_EACH(roster_watch, watch, &key->watches) {
        if (watch->introduced) {
            tell(watch, event, member);
        }
    }
}

static struct roster_claim *find_claim(const struct roster_key *key, struct span member)
{
    struct map_node *node = map_find(&key->claims, member);
    return node != NULL ? MAP_ENTRY(node, struct roster_claim, node) : NULL;
}

/* Of this node's lease, by which its claims there live. */
static uint64_t own_token(const struct roster_key *key)
{
    return roster_leases(key->store, key->shard)->lease.token;
}

/* A beat shall look at it. */
static void make_uneasy(struct roster_key *key)
{
    list_del(&key->uneasy);
    list_push_back(&key->store->roster.uneasy, &key->uneasy);
    key->looks = 0;
}

static bool is_settled(const struct roster_key *key)
{
    return !key->in_flight && key->listening && !key->want_snapshot &&
           roster_view_reached(&key->view, key->goal_birth, key->goal_version);
}

/* Is what the view says of this node's own member true? Looked at once more by a beat while something
 * is under way. */
static void compare_own(struct roster_key *key, enum roster_event event,
                        const struct roster_member *member)
{
    struct roster_claim *claim = find_claim(key, member->name);
    uint64_t token = own_token(key);
    bool own =
        event == ROSTER_SET && token != 0 && roster_view_token(&key->view, member->name) == token;
    bool strange = claim == NULL && own;
    bool wrong = claim != NULL && claim->place == CLAIM_SETTLED &&
                 (event == ROSTER_GONE ||
                  (own && !span_eq(member->value, span_of(claim->value, claim->value_len))));
    if (!strange && !wrong) {
        return;
    }
    if (!is_settled(key)) {
        key->suspect = true;
        make_uneasy(key);
    } else if (wrong) {
        claim_move(key, claim, CLAIM_PENDING);
        key->want_snapshot = true; /* where the server has it all the same, nothing is published */
    } else {
        claim = roster_claim_new(key, member->name);
        claim->told = claim->released = true;
    }
}

static void compare_one(void *arg, enum roster_event event, const struct roster_member *member)
{
    compare_own(arg, event, member);
}

static void compare_all(struct roster_key *key)
{
    struct span value;
    key->suspect = false;
    LIST_EACH(it, &key->settled) {
        struct roster_claim *claim = LIST_ITEM(it, struct roster_claim, entry);
        if (!roster_view_find(&key->view, map_key(&claim->node), &value)) {
            claim_move(key, claim, CLAIM_PENDING);
            key->want_snapshot = true;
        }
    }
    roster_view_each(&key->view, compare_one, key);
}

/* A roster_view_fn. */
static void on_member(void *arg, enum roster_event event, const struct roster_member *member)
{
    compare_own(arg, event, member);
    tell_followers(arg, event, member);
}

static void tell_one(void *arg, enum roster_event event, const struct roster_member *member)
{
    tell(arg, event, member);
}

static void introduce(struct roster_key *key)
{
    WATCHERS_EACH(roster_watch, watch, &key->watches) {
        if (key->view.whole && !watch->introduced) {
            watch->introduced = true;
            roster_view_each(&key->view, tell_one, watch);
            tell(watch, ROSTER_CHANGED, NULL);
        }
    }
}

static void tell_stale(struct roster_key *key)
{
    bool failed = key->stale || key->store->shards[key->shard].failed;
    key->stale = false;
    WATCHERS_EACH(roster_watch, watch, &key->watches) {
        if (failed && !watch->stale) {
            watch->stale = true;
            watch->owed = true;
            tell(watch, ROSTER_STALE, NULL);
        }
    }
}

static void tell_current(struct roster_key *key)
{
    WATCHERS_EACH(roster_watch, watch, &key->watches) {
        bool current = key->listening && !key->in_flight && !key->want_snapshot &&
                       list_empty(&key->pending) &&
                       roster_view_reached(&key->view, key->goal_birth, key->goal_version);
        if (current && watch->introduced && watch->owed) {
            watch->owed = false;
            watch->stale = false;
            tell(watch, ROSTER_CURRENT, NULL);
        }
    }
}

static void after_view(struct roster_key *key, enum view_outcome outcome)
{
    list_del(&key->holding);
    if (key->view.held_count > 0) {
        list_push_back(&key->store->roster.holding, &key->holding);
    }
    if (outcome == VIEW_CHANGED) {
        tell_followers(key, ROSTER_CHANGED, NULL);
    }
    roster_key_kick(key);
}

void roster_key_expire(struct roster_key *key, uint64_t now_us)
{
    roster_key_catch_up(key);
    if (key->listening && roster_view_expire(&key->view, now_us, on_member, key) == VIEW_CHANGED) {
        after_view(key, VIEW_CHANGED);
    }
}

static void read_again(struct roster_key *key)
{
    if (!key->want_snapshot) {
        key->want_snapshot = true;
        key->store->stats.resnapshots++;
    }
}

static void on_change(struct roster_key *key, struct span payload)
{
    struct roster_note note;
    if (roster_note_read(payload, &note) < 0) {
        read_again(key);
        roster_key_kick(key);
        return;
    }
    if (key->in_flight) {
        key->heard = true;
        key->heard_birth = note.birth;
        key->heard_version = note.version;
    }
    if (!key->view.whole) {
        return; /* the snapshot to come is compared with what was heard */
    }
    enum view_outcome outcome = roster_view_change(&key->view, &note, on_member, key);
    if (outcome == VIEW_MISSED) {
        read_again(key);
    } else if (note.birth > key->goal_birth) {
        key->goal_birth = note.birth;
        key->goal_version = note.version;
    }
    after_view(key, outcome);
}

static void on_channel(void *arg, enum bus_event event, struct span payload)
{
    struct roster_key *key = arg;
    roster_key_catch_up(key);
    switch (event) {
    case BUS_READY:
        key->listening = true;
        key->want_snapshot = true;
        roster_view_doubt(&key->view, false);
        roster_key_kick(key);
        break;
    case BUS_GAP:
        key->listening = false;
        key->want_snapshot = true;
        roster_key_kick(key);
        break;
    case BUS_MESSAGE:
        on_change(key, payload);
        break;
    }
}

static void on_snapshot(struct roster_key *key, const struct roster_note *note)
{
    uint64_t hold_until = clock_monotonic_us() + roster_lease_us(key->store);
    if (key->heard && key->heard_birth != note->birth) {
        read_again(key); /* it crossed the change of a key that came to be, or went, meanwhile */
        return;
    }
    enum view_outcome outcome = roster_view_snapshot(&key->view, note, hold_until, on_member, key);
    if (key->heard && key->heard_version > key->view.version) {
        read_again(key);
    }
    after_view(key, outcome);
}

/* What was sent is known to the server; what changed meanwhile goes again. */
static void settle_sent(struct roster_key *key)
{
    LIST_EACH(it, &key->sent) {
        struct roster_claim *claim = LIST_ITEM(it, struct roster_claim, entry);
        if (claim->again) {
            claim->again = false;
            claim_move(key, claim, CLAIM_PENDING);
        } else if (claim->released) {
            roster_claim_free(key, claim);
        } else {
            claim_move(key, claim, CLAIM_SETTLED);
        }
    }
}

/* What is in `from` goes again; returns how many. */
static size_t send_again(struct roster_key *key, struct list *from)
{
    size_t count = 0;
    LIST_EACH(it, from) {
        struct roster_claim *claim = LIST_ITEM(it, struct roster_claim, entry);
        claim->again = false;
        claim_move(key, claim, CLAIM_PENDING);
        count++;
    }
    return count;
}

static void on_answer(void *arg, enum backend_answer answer, struct span reply)
{
    struct roster_key *key = arg;
    struct roster_note note;
    bool asked = key->asked;
    roster_key_catch_up(key);
    key->in_flight = key->asked = false;
    key->store->shards[key->touched].touches--;
    roster_key_kick(key);
    bool elsewhere = key->touched != key->shard; /* the key has another server by now */
    if (elsewhere || answer != BACKEND_OK || roster_note_read(reply, &note) < 0) {
        send_again(key, &key->sent);
        key->want_snapshot |= asked;
        key->refused = !elsewhere && answer != BACKEND_LOST;
        key->stale |= key->refused;
        if (key->refused) {
            make_uneasy(key);
            key->store->shards[key->shard].refused_us = clock_monotonic_us();
        }
        return;
    }
    settle_sent(key);
    if (!key->heard || key->heard_birth <= note.birth) {
        key->goal_birth = note.birth;
        key->goal_version = note.version;
    }
    if (!key->listening) {
        return;
    }
    if (note.listed) {
        on_snapshot(key, &note);
    } else if (key->view.birth != note.birth && key->view.members.count > key->view.held_count &&
               !key->heard) {
        read_again(key);
    }
    if (!roster_view_reached(&key->view, key->goal_birth, key->goal_version)) {
        make_uneasy(key);
    }
}

/* Moves what fits in one touch from pending to sent. */
static size_t gather(struct roster_key *key, struct roster_entry *entries)
{
    size_t count = 0, bytes = 0;
    while (!list_empty(&key->pending) && count < TOUCH_ENTRIES && bytes < TOUCH_BYTES) {
        struct roster_claim *claim = LIST_ITEM(key->pending.next, struct roster_claim, entry);
        claim->told = true;
        claim_move(key, claim, CLAIM_SENT);
        entries[count++] = (struct roster_entry){
            .member = map_key(&claim->node),
            .value = span_of(claim->value, claim->value_len),
            .gone = claim->released,
            .token = own_token(key),
        };
        bytes += claim->node.key_len + claim->value_len;
    }
    return count;
}

/* Ghosts go with a touch that is made anyhow. */
static size_t gather_ghosts(const struct roster_key *key, struct roster_entry *entries,
                            size_t count)
{
    const struct list *ghosts = &key->view.ghosts;
    for (struct list *it = ghosts->next; it != ghosts && count < TOUCH_ENTRIES; it = it->next) {
        const struct roster_ghost *ghost = LIST_ITEM(it, struct roster_ghost, entry);
        entries[count++] = (struct roster_entry){
            .member = span_of(ghost->name, ghost->len),
            .gone = true,
            .token = ghost->token,
        };
    }
    return count;
}

static void forget_ghosts(struct roster_key *key, size_t count)
{
    for (; count > 0; count--) {
        roster_view_end_ghost(LIST_ITEM(key->view.ghosts.next, struct roster_ghost, entry));
    }
}

static void channel_name(const struct roster_key *key, char *name)
{
    size_t kind =
        strlen(key->store->prefix) + strlen(":{") + strlen(partition_tag(0)) + strlen("}:");
    memcpy(name, key->name, key->node.key_len);
    CHECK(kind < key->node.key_len && name[kind] == 'r');
    name[kind] = 'w';
}

static void touch(struct roster_key *key)
{
    struct roster_entry entries[TOUCH_ENTRIES];
    char *channel = mem_dup(map_key(&key->node));
    struct backend *backend = key->store->backend;
    channel_name(key, channel);
    size_t claims = gather(key, entries);
    struct roster_touch touch = {
        .key = map_key(&key->node),
        .channel = span_of(channel, key->node.key_len),
        .token = own_token(key),
        .refresh = key->refresh,
        .snapshot = key->want_snapshot && key->listening,
        .entries = entries,
        .count = gather_ghosts(key, entries, claims),
    };
    if (backend->ops->touch(backend, key->shard, &touch, on_answer, key) < 0) {
        send_again(key, &key->sent);
    } else {
        key->store->shards[key->shard].touches++;
        key->touched = key->shard;
        forget_ghosts(key, touch.count - claims);
        key->in_flight = true;
        key->asked = touch.snapshot;
        key->want_snapshot = key->refresh = key->heard = false;
    }
    free(channel);
}

void roster_key_touch(struct roster_key *key)
{
    roster_key_catch_up(key);
    bool watched = !watchers_none(&key->watches);
    bool wanted = !list_empty(&key->pending) || (watched && key->want_snapshot);
    bool possible = !key->in_flight && !key->refused && key->store->shards[key->shard].up;
    if (!wanted || !possible || (watched && !key->listening)) {
        return;
    }
    if (roster_is_leased(key->store, key->shard) &&
        key->store->shards[key->shard].touches < roster_touches_most(key->store)) {
        touch(key);
    } else {
        roster_queue(key);
    }
}

static void judge(struct roster_key *key)
{
    if (key->judge && key->listening) {
        key->judge = false;
        after_view(key, roster_view_judge(&key->view, on_member, key));
    }
}

/* Hears the changes exactly while there is a watch. */
static void consider_listening(struct roster_key *key)
{
    if (watchers_none(&key->watches) && key->sub != NULL) {
        bus_unsubscribe(&key->sub);
        key->listening = key->stale = key->suspect = false;
        roster_view_reset(&key->view);
        list_del(&key->holding);
    } else if (!watchers_none(&key->watches) && key->sub == NULL) {
        char *channel = mem_dup(map_key(&key->node));
        channel_name(key, channel);
        key->sub = bus_channel_subscribe(key->store, key->shard,
                                         span_of(channel, key->node.key_len), on_channel, key);
        free(channel);
    }
}

void roster_key_run(struct chore *chore)
{
    struct roster_key *key = CONTAINER_OF(chore, struct roster_key, watches.chore);
    watchers_sweep(&key->watches);
    roster_key_catch_up(key);
    consider_listening(key);
    if (watchers_none(&key->watches) && key->claims.count == 0 && !key->in_flight) {
        roster_key_free(key);
        return;
    }
    judge(key);
    roster_key_touch(key);
    tell_stale(key);
    introduce(key);
    tell_current(key);
}

/* Whether a server has what it was told is seen by the leases that it keeps; of one whose keys live by
 * leases elsewhere, those are told. */
static void shard_on_link(struct store *store, unsigned shard, bool up)
{
    struct shard *s = &store->shards[shard];
    if (up && s->moved && roster_leases(store, shard) != s) {
        roster_leases(store, shard)->doubted = true;
    }
    s->past.downs += !up;
    s->past.ups += up;
    s->past.moves += up && s->moved;
    s->moved &= !up;
    s->leased_us = 0;
    s->lease.version = 0; /* the next server may call another list that */
}

void roster_on_link(struct store *store, const struct shard_set *which, bool up)
{
    for (unsigned i = 0; i < store->backend->shards; i++) {
        if (shard_set_has(which, i)) {
            shard_on_link(store, i, up);
        }
    }
    sweep_start(&store->roster.sweep);
    if (up) {
        roster_beat_all(store);
    }
}

void roster_on_owner(struct store *store)
{
    sweep_start(&store->roster.sweep);
    roster_beat_all(store);
}

static bool comes_before(struct span a, struct span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.ptr, b.ptr, len);
    return order < 0 || (order == 0 && a.len < b.len);
}

static void find_first(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct span *first = arg;
    (void)event;
    if (first->ptr == NULL || comes_before(member->name, *first)) {
        *first = member->name;
    }
}

/* One refresh lets the key's life begin again for all. Where the view shows that the first member is another
 * node's, that one does so each time, and this one every second time. */
static bool leaves_it_to_another(struct roster_key *key)
{
    struct span first = span_of(NULL, 0);
    bool left = key->left_it;
    key->left_it = false;
    if (left || !is_settled(key) || !key->view.whole || key->view.held_count > 0) {
        return false;
    }
    roster_view_each(&key->view, find_first, &first);
    key->left_it = first.ptr != NULL && find_claim(key, first) == NULL;
    return key->left_it;
}

void roster_key_due(struct roster_key *key)
{
    roster_key_catch_up(key);
    if (key->store->shards[key->shard].up && !key->in_flight && key->claims.count > 0 &&
        !leaves_it_to_another(key)) {
        send_again(key, &key->settled);
        key->refresh = true;
        roster_key_kick(key);
    }
}

void roster_key_look(struct roster_key *key)
{
    roster_key_catch_up(key);
    bool reached = roster_view_reached(&key->view, key->goal_birth, key->goal_version);
    bool waits = key->listening && key->view.whole && !reached;
    if (key->refused) {
        key->refused = false;
    } else if (waits && key->looks++ > 0) {
        read_again(key);
        waits = false;
    }
    if (key->suspect && is_settled(key)) {
        compare_all(key);
    }
    if (!waits && !key->suspect) {
        list_del(&key->uneasy);
    }
    roster_key_kick(key);
}
