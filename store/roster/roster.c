/* SPDX-License-Identifier: MIT */
/* The calls of roster.h. */
#include "store/roster/roster.h"

#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/roster/impl.h"
#include "store/sweep.h"

static struct roster_key *find_key(const struct store *store, struct span name)
{
    struct buf full = {0};
    partition_key(&full, store->prefix, "r", name);
    struct map_node *node = map_find(&store->roster.keys, buf_span(&full));
    buf_free(&full);
    return node != NULL ? MAP_ENTRY(node, struct roster_key, node) : NULL;
}

static struct roster_key *key_new(struct store *store, struct span name, unsigned partition)
{
    unsigned shard = store->backend->owner[partition];
    struct roster_key *key = mem_zalloc(sizeof(*key) + name.len);
    memcpy(key->name, name.ptr, name.len);
    key->store = store;
    key->partition = partition;
    key->shard = shard;
    list_init(&key->holding);
    list_init(&key->uneasy);
    list_init(&key->patient);
    list_init(&key->queue);
    watchers_init(&key->watches, store, roster_key_run);
    list_init(&key->pending);
    list_init(&key->sent);
    list_init(&key->settled);
    map_init(&key->claims);
    roster_view_init(&key->view, &roster_leases(store, shard)->lease);
    roster_key_begin(key);
    map_insert(&store->roster.keys, &key->node, span_of(key->name, name.len));
    roster_wheel_add(store, key);
    return key;
}

struct roster_key *roster_key_get(struct store *store, struct span name)
{
    struct roster_key *key = find_key(store, name);
    if (key == NULL) {
        struct buf full = {0};
        partition_key(&full, store->prefix, "r", name);
        key = key_new(store, buf_span(&full), partition_of(name));
        buf_free(&full);
    }
    return key;
}

void roster_claim_free(struct roster_key *key, struct roster_claim *claim)
{
    key->store->roster.claims--;
    list_del(&claim->entry);
    map_remove(&key->claims, &claim->node);
    free(claim->value);
    free(claim);
}

void roster_key_free(struct roster_key *key)
{
    watchers_deinit(&key->watches);
    MAP_EACH(it, &key->claims) {
        roster_claim_free(key, MAP_ENTRY(it, struct roster_claim, node));
    }
    map_deinit(&key->claims);
    roster_view_reset(&key->view);
    list_del(&key->wheel);
    list_del(&key->holding);
    list_del(&key->uneasy);
    list_del(&key->patient);
    list_del(&key->queue);
    map_remove(&key->store->roster.keys, &key->node);
    free(key);
}

struct roster_watch *roster_watch(struct store *store, struct span key, roster_fn *fn, void *arg)
{
    struct roster_watch *watch = mem_zalloc(sizeof(*watch));
    watch->key = roster_key_get(store, key);
    watch->fn = fn;
    watch->arg = arg;
    watch->owed = true;
    watchers_join(&watch->key->watches, &watch->watcher);
    return watch;
}

void roster_unwatch(struct roster_watch **watch)
{
    if (watch == NULL || *watch == NULL) {
        return;
    }
    watchers_leave(&(*watch)->watcher);
    *watch = NULL;
}

bool roster_holds(const struct roster_watch *watch)
{
    return watch->key->view.held_count > 0;
}

bool roster_is_sure(const struct roster_watch *watch)
{
    const struct roster_key *key = watch->key;
    bool reads = key->want_snapshot || (key->in_flight && key->asked);
    return watch->introduced && !roster_key_is_behind(key) && key->listening && key->view.whole &&
           !key->view.doubted && !reads;
}

size_t roster_count(const struct roster_watch *watch)
{
    return watch->introduced ? watch->key->view.members.count : 0;
}

struct each {
    void (*fn)(void *arg, const struct roster_member *member);
    void *arg;
};

static void each_one(void *arg, enum roster_event event, const struct roster_member *member)
{
    const struct each *each = arg;
    (void)event;
    each->fn(each->arg, member);
}

void roster_each(const struct roster_watch *watch,
                 void (*fn)(void *arg, const struct roster_member *member), void *arg)
{
    struct each each = {fn, arg};
    if (watch->introduced) {
        roster_view_each(&watch->key->view, each_one, &each);
    }
}

bool roster_find(const struct roster_watch *watch, struct span name, struct span *value)
{
    return watch->introduced && roster_view_find(&watch->key->view, name, value);
}

/* Every watch of the key is told when what was asked just now is in its view. */
static void owe_current(struct roster_key *key)
{
    WATCHERS_EACH(roster_watch, watch, &key->watches) {
        watch->owed = true;
    }
    roster_key_kick(key);
}

struct roster_claim *roster_claim_new(struct roster_key *key, struct span member)
{
    struct roster_claim *claim = mem_zalloc(sizeof(*claim) + member.len);
    memcpy(claim->member, member.ptr, member.len);
    map_insert(&key->claims, &claim->node, span_of(claim->member, member.len));
    list_init(&claim->entry);
    claim_move(key, claim, CLAIM_PENDING);
    key->store->roster.claims++;
    return claim;
}

/* What is wanted of the claim is not what the server was told. */
static void claim_changed(struct roster_key *key, struct roster_claim *claim)
{
    if (claim->place == CLAIM_SENT) {
        claim->again = true;
    } else {
        claim_move(key, claim, CLAIM_PENDING);
    }
}

/* The claim is wanted with that value; nobody is told yet. */
static void want(struct roster_key *key, struct span member, struct span value)
{
    struct map_node *node = map_find(&key->claims, member);
    struct roster_claim *claim =
        node != NULL ? MAP_ENTRY(node, struct roster_claim, node) : roster_claim_new(key, member);
    bool same = claim->value != NULL && !claim->released &&
                span_eq(span_of(claim->value, claim->value_len), value);
    if (!same) {
        free(claim->value);
        claim->value = mem_dup(value);
        claim->value_len = value.len;
        claim->released = false;
        claim_changed(key, claim);
    }
}

void roster_claim(struct store *store, struct span key_name, struct span member, struct span value)
{
    if (!store->releasing) {
        struct roster_key *key = roster_key_get(store, key_name);
        want(key, member, value);
        owe_current(key);
    }
}

void roster_claim_patiently(struct store *store, struct span key_name, struct span member,
                            struct span value)
{
    if (store->releasing) {
        return;
    }
    struct roster_key *key = roster_key_get(store, key_name);
    bool waits = store->backend->pulses && roster_is_leased(store, key->shard);
    want(key, member, value);
    if (!waits) {
        owe_current(key);
    } else if (list_empty(&key->patient)) {
        list_push_back(&store->roster.patient, &key->patient);
    }
}

void roster_end_patience(struct store *store, unsigned leases)
{
    LIST_EACH(it, &store->roster.patient) {
        struct roster_key *key = LIST_ITEM(it, struct roster_key, patient);
        if (store->backend->lease_at[key->shard] == leases) {
            list_del(&key->patient);
            owe_current(key);
        }
    }
}

static void release(struct roster_key *key, struct roster_claim *claim)
{
    if (claim->released) {
        return;
    }
    if (!claim->told) {
        roster_claim_free(key, claim);
    } else {
        claim->released = true;
        claim->released_us = clock_monotonic_us();
        claim_changed(key, claim);
    }
    owe_current(key);
}

void roster_release(struct store *store, struct span key_name, struct span member)
{
    struct roster_key *key = find_key(store, key_name);
    struct map_node *node = key != NULL ? map_find(&key->claims, member) : NULL;
    if (node != NULL) {
        release(key, MAP_ENTRY(node, struct roster_claim, node));
    }
}

/* A map_visit_fn of the sweep. */
static void release_all_of(void *arg, struct map_node *node)
{
    struct roster_key *key = MAP_ENTRY(node, struct roster_key, node);
    (void)arg;
    MAP_EACH(claim, &key->claims) {
        release(key, MAP_ENTRY(claim, struct roster_claim, node));
    }
}

void roster_release_every(struct store *store)
{
    sweep_start(&store->roster.releases);
}

void roster_init(struct store *store)
{
    map_init(&store->roster.keys);
    list_init(&store->roster.holding);
    list_init(&store->roster.uneasy);
    sweep_init(&store->roster.releases, store, &store->roster.keys, release_all_of);
    roster_wheel_init(store);
}

void roster_deinit(struct store *store)
{
    MAP_EACH(it, &store->roster.keys) {
        roster_key_free(MAP_ENTRY(it, struct roster_key, node));
    }
    map_deinit(&store->roster.keys);
    sweep_deinit(&store->roster.releases);
    roster_wheel_deinit(store);
}
