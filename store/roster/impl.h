/* SPDX-License-Identifier: MIT */
/* roster key: one key of the roster as this process knows it: which watches follow it, what is
 * claimed, the view, and the one touch that may be under way to the server.
 *
 *     claim, release ---> pending --touch--> sent --answer--> settled --renewal--> pending
 *                            ^                 |  changed meanwhile
 *                            '-----------------'
 *
 * roster.c  the calls of roster.h: they change what is wanted and kick the key
 * sync.c    wanted against had: touches, answers, changes, what watchers are told
 * wheel.c   when a key is touched again
 */
#ifndef MUSTER_STORE_ROSTER_IMPL_H
#define MUSTER_STORE_ROSTER_IMPL_H

#include "store/roster/roster.h"
#include "store/roster/view.h"
#include "store/watchers.h"

enum claim_place { CLAIM_PENDING, CLAIM_SENT, CLAIM_SETTLED };

struct roster_claim {
    struct map_node node;
    struct list entry; /* in the list of its place */
    enum claim_place place;
    bool again;    /* changed while sent */
    bool released; /* to be taken away, then freed */
    bool told;     /* the server may know it */
    uint64_t released_us;
    char *value;
    size_t value_len;
    char member[];
};

struct roster_key {
    struct map_node node; /* by name */
    struct store *store;
    unsigned shard;
    struct list wheel, holding; /* links */

    struct bus_sub *sub; /* to the changes, while watched */
    bool listening;      /* they surely come in */
    struct watchers watches;
    struct roster_view view;

    struct map claims;
    struct list pending, sent, settled;

    bool in_flight;     /* a touch is */
    bool asked;         /* it asks for a snapshot */
    bool want_snapshot; /* the next one shall */
    bool due;           /* a watched key is touched even without a claim */
    bool refused;       /* the last one was: wait for the wheel */
    bool stale;         /* the link failed since the last CURRENT */

    uint64_t birth;                    /* as last answered */
    uint64_t goal_birth, goal_version; /* the newest known: what the view must reach */
    bool heard;                        /* changes while a touch was in flight, the last one: */
    uint64_t heard_birth, heard_version;

    char name[]; /* where the server keeps it, with prefix */
};

struct roster_watch {
    struct watcher watcher;
    struct roster_key *key;
    roster_fn *fn;
    void *arg;
    bool introduced; /* got the view, and follows it */
    bool owed;       /* a CURRENT */
    bool stale;      /* was told STALE after the last CURRENT */
};
WATCHER_FIRST(struct roster_watch);

/* The key, new if need be and then freed by its chore when it has no use. */
struct roster_key *roster_key_get(struct store *store, struct span name);

void roster_key_free(struct roster_key *key);

/* The chore. */
void roster_key_run(struct chore *chore);

static inline void roster_key_kick(struct roster_key *key)
{
    watchers_kick(&key->watches);
}

static inline void claim_move(struct roster_key *key, struct roster_claim *claim,
                              enum claim_place place)
{
    list_del(&claim->entry);
    list_push_back(place == CLAIM_PENDING ? &key->pending
                   : place == CLAIM_SENT  ? &key->sent
                                          : &key->settled,
                   &claim->entry);
    claim->place = place;
}

void roster_claim_free(struct roster_key *key, struct roster_claim *claim);

/* The wheel has come round: renew the claims, look after the view. */
void roster_key_due(struct roster_key *key);

/* The members that a lost server left behind whose time is over. */
void roster_key_expire(struct roster_key *key, uint64_t now_us);

/* Puts a new key on the wheel, at a random place. */
void roster_wheel_add(struct store *store, struct roster_key *key);
void roster_wheel_init(struct store *store);
void roster_wheel_deinit(struct store *store);

static inline uint64_t roster_lease_us(const struct store *store)
{
    return (uint64_t)store->lease_ms * 1000U;
}

/* The rhythm of the roster, in parts of the lease. A member dies at the server after TTL without a
 * renewal and is pruned by the next touch: TTL + RENEW stays below one lease. */
static inline uint64_t roster_ttl_us(const struct store *store)
{
    return roster_lease_us(store) * 65 / 100;
}

static inline uint64_t roster_renew_us(const struct store *store)
{
    return roster_lease_us(store) * 30 / 100;
}

/* For store.c. */
void roster_init(struct store *store);
void roster_deinit(struct store *store);
void roster_release_every(struct store *store);

/* Both links of one server went up or down. */
void roster_on_link(struct store *store, unsigned shard, bool up);

#endif
