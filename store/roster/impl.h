/* SPDX-License-Identifier: MIT */
/* roster key: one key of the roster as this process knows it: which watches follow it, what is
 * claimed, the view, and the one touch that may be under way to the server.
 *
 *     claim, release ---> pending --touch--> sent --answer--> settled --refresh, other lease, lost-->
 *                            ^                 |  changed meanwhile                      pending
 *                            '-----------------'
 *
 * roster.c  the calls of roster.h: they change what is wanted and kick the key
 * sync.c    wanted against had: touches, answers, changes, what watchers are told
 * past.c    what happens to all keys at once, or all of a partition: seen by each when it is looked at
 * beat.c    this node's lease on each server, and what its answers mean for the keys
 * lease.c   what an answer says
 * wheel.c   when a beat is due, and when a key is refreshed
 */
#ifndef MUSTER_STORE_ROSTER_IMPL_H
#define MUSTER_STORE_ROSTER_IMPL_H

#include "store/roster/rhythm.h"
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
    unsigned partition;
    unsigned shard, touched; /* where it was last looked at; where a touch is under way */
    struct list wheel, holding, uneasy, patient, queue; /* links */

    struct bus_sub *sub; /* to the changes, while watched */
    bool listening;      /* they surely come in */
    struct watchers watches;
    struct roster_view view;

    struct map claims;
    struct list pending, sent, settled;

    bool in_flight;     /* a touch is */
    bool asked;         /* it asks for a snapshot */
    bool want_snapshot; /* the next one shall */
    bool refresh;       /* the next one lets the key's life begin again */
    bool left_it;       /* to another node, to let it begin again, when that was due last */
    bool refused;       /* the last one was: wait for a beat */
    bool stale;         /* the link failed since the last CURRENT */
    bool suspect;       /* what the view says of own members is to be compared with the claims */
    bool judge;         /* other nodes live than when the view was last looked at */
    uint8_t looks;      /* of beats, since the key became uneasy */
    struct roster_past seen; /* of its shard and of that of its leases */

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

/* New and pending. */
struct roster_claim *roster_claim_new(struct roster_key *key, struct span member);
void roster_claim_free(struct roster_key *key, struct roster_claim *claim);

/* The wheel has come round: refresh the claims. */
void roster_key_due(struct roster_key *key);

/* Sends what is wanted of the key, or has it wait until it may. */
void roster_key_touch(struct roster_key *key);

/* A beat comes: try again what was refused, read again what does not come. */
void roster_key_look(struct roster_key *key);

/* What happened to all keys of its shard, or to its partition, that it has not seen, if anything. */
void roster_key_catch_up(struct roster_key *key);
bool roster_key_is_behind(const struct roster_key *key);
/* Nothing that was before it came to be. */
void roster_key_begin(struct roster_key *key);

/* The members that a lost server left behind whose time is over. */
void roster_key_expire(struct roster_key *key, uint64_t now_us);

/* Puts a new key on the wheel, at a random place. */
void roster_wheel_add(struct store *store, struct roster_key *key);
/* Goes through all of a list of keys, some in each turn: has each look, expire or say that it is stale. */
void roster_go_through(struct store *store, struct list *to, struct list *from);

void roster_wheel_init(struct store *store);
void roster_wheel_deinit(struct store *store);

/* The key waits until it may touch. */
void roster_queue(struct roster_key *key);

/* For store.c. */
void roster_init(struct store *store);
void roster_deinit(struct store *store);
void roster_release_every(struct store *store);
void roster_on_owner(struct store *store); /* as store_on_owner */

/* Both links of the server of these shards went up or down. */
void roster_on_link(struct store *store, const struct shard_set *which, bool up);

#endif
