/* SPDX-License-Identifier: MIT */
/* history key: one history as this process knows it: which watches follow it, what waits to be
 * appended, which reads are open.
 *
 *     history_append --> waiting --batch--> sent --answer--> confirmed, for a while
 *                           ^                 |                  |
 *                           '--- link down ---'------------------'
 *
 *     watched: OFF --position--> POSITIONED --subscribed--> fetch what came between --> follow
 *                                     ^                                                   |
 *                                     '------- link down, or an entry is missing ---------'
 *
 * history.c  the calls of history.h: they change what is wanted and kick the key
 * queue.c    appends and reads
 * watch.c    following */
#ifndef MUSTER_STORE_HISTORY_IMPL_H
#define MUSTER_STORE_HISTORY_IMPL_H

#include "store/history/history.h"
#include "store/watchers.h"

struct history_timeline {
    size_t len;
    char name[40];
};

struct history_key {
    struct map_node node; /* by name */
    struct store *store;
    unsigned shard;
    char *channel;

    struct list waiting, sent, confirmed; /* struct history_pending, by sequence */
    size_t count, bytes;                  /* in waiting and sent */
    uint64_t sequence;                    /* the last one given out */
    struct list reads;                    /* to be sent */
    size_t read_count;                    /* not answered, sent or not */
    bool appending;                       /* a batch is under way */
    bool refused;                         /* the server said no: wait for the tick */

    struct watchers watches;
    struct bus_sub *sub; /* while watched */
    bool listening;      /* new entries surely come in */
    bool positioned;     /* birth and last are where the watches stand */
    bool fetching;
    bool behind; /* something may be missing */
    bool current;
    uint64_t birth, last;
    struct history_timeline timeline;
    struct buf mark; /* "sequence writer" of the entry at `last`; empty: the server did not say */
    uint64_t heard_birth, heard_last; /* came in while a fetch was under way */
    struct history_timeline heard_timeline;
    struct map writers; /* of each, what was delivered last, or was there before the watch */

    char name[]; /* where the server keeps it, with prefix */
};

struct history_watch {
    struct watcher watcher;
    history_fn *fn;
    void *arg;
    bool owed; /* a CURRENT */
};
WATCHER_FIRST(struct history_watch);

/* The key, made when it is named for the first time. */
struct history_key *history_key_get(struct store *store, struct span key);

static inline void history_key_kick(struct history_key *key)
{
    watchers_kick(&key->watches);
}

static inline bool history_key_up(const struct history_key *key)
{
    return key->store->shards[key->shard].up;
}

/* Makes the tick run until nothing waits. */
void history_tick_start(struct store *store);

/* ------------------------------------------------------------------------- queue.c */

void history_queue_init(struct history_key *key);
void history_queue_free(struct history_key *key);

/* Sends what may be sent. */
void history_queue_run(struct history_key *key);

/* The link fell: what was sent, or confirmed a moment ago, goes again. Reads are answered. */
void history_queue_link_down(struct history_key *key);

/* It is back: what was confirmed is not kept for ever. */
void history_queue_link_up(struct history_key *key);

/* Gives up what has waited too long. True while there is something left to look at. */
bool history_queue_tick(struct history_key *key, uint64_t now_us);

/* ------------------------------------------------------------------------- watch.c */

void history_watch_init(struct history_key *key);
void history_watch_free(struct history_key *key);
void history_watch_run(struct history_key *key);
void history_watch_link_down(struct history_key *key);

static inline bool history_key_watched(const struct history_key *key)
{
    return !watchers_none(&key->watches);
}

/* For store.c. */
void history_init(struct store *store);
void history_deinit(struct store *store);

/* As store_on_owner. */
void history_on_owner(struct store *store);

/* Both links of the server of these shards went up or down. */
void history_on_link(struct store *store, const struct shard_set *which, bool up);

#endif
