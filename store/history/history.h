/* SPDX-License-Identifier: MIT */
/* history: a capped list that is heard. An append gives the entry the next id, trims the list and
 * publishes, all in one atomic step; a watch delivers every entry in the order of the ids.
 *
 *     history_append --> queue --one batch at a time--> server: id, trim, publish --> watches
 *                          ^             |
 *                          '-- not known whether done: again
 *
 * An append that may have been lost with its link is sent again, and the server takes each entry of
 * a writer once. Those that were confirmed just before the link fell are sent again too: to a
 * server that has them this is nothing, to one that lost its memory it brings them back. A watch
 * that missed something fetches it by id. So every watch delivers each entry once, and all in the
 * same order, across cut links, a paused server, and one that restarts with its memory; where a
 * server lost its memory, two entries whose delivery it had just begun may change places.
 *
 * Keys are few: each one that was named stays until the store is closed. */
#ifndef MUSTER_STORE_HISTORY_HISTORY_H
#define MUSTER_STORE_HISTORY_HISTORY_H

#include "store/store.h"

struct history_watch;

enum {
    HISTORY_VALUE_MOST = 64 * 1024, /* bytes of one entry */
    HISTORY_READ_MOST = 1000,       /* entries of one read */
};

enum history_event {
    HISTORY_ENTRY, /* the next one */
    HISTORY_LOST,  /* entries were trimmed, or went with the server, before they could be fetched */
    HISTORY_CURRENT, /* all that was appended before now has been delivered */
    HISTORY_STALE,   /* the server cannot be reached: nothing more until the next CURRENT */
};

struct history_entry {
    uint64_t id; /* grows; below 2^53 */
    struct span value;
    uint64_t lost; /* of LOST alone, which has nothing else: how many, at most */
};

/* `entry` is borrowed until return, and NULL but for ENTRY and LOST. The watcher may unwatch inside. */
typedef void history_fn(void *arg, enum history_event event, const struct history_entry *entry);

/* New watch of `key` (1 to 512 bytes, copied): entries appended from now on, among them all that
 * this store appends after this call. */
struct history_watch *history_watch(struct store *store, struct span key, history_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* Ends *watch and nulls it; NULL inside is fine. No event comes after this. */
void history_unwatch(struct history_watch **watch);

/* What became of an append: done, or given up after its time, which does not quite exclude that it
 * was done. */
typedef void history_done_fn(void *arg, uint64_t tag, bool done);

struct history_append {
    struct span key;   /* as for history_watch */
    struct span value; /* copied; up to HISTORY_VALUE_MOST bytes */
    uint32_t most;     /* entries the list keeps: the oldest go */
    uint32_t wait_ms;  /* tried for so long, at least */
    history_done_fn *fn;
    void *arg;
    uint64_t tag; /* given back to `fn`: names the caller's object by a number that outlives it */
};

/* Queues it behind earlier ones of this store. 0, or -1 when the queue is full (and `fn` is not
 * called). */
int history_append(struct store *store, const struct history_append *append)
    __attribute__((warn_unused_result));

/* The answer to a read. `entries` is borrowed, and iterated with history_next; `ok` is false when
 * the server was lost before it answered. */
typedef void history_read_fn(void *arg, uint64_t tag, bool ok, struct span entries);

/* Reads up to `limit` (at most HISTORY_READ_MOST) entries, the newest first, leaving out the
 * `offset` newest. 0, or -1 when the server cannot be reached (and `fn` is not called). Appends of
 * this store that were confirmed before are among them. */
int history_read(struct store *store, struct span key, uint32_t offset, uint32_t limit,
                 history_read_fn *fn, void *arg, uint64_t tag) __attribute__((warn_unused_result));

/* Cuts the next entry off *entries; false at the end. */
bool history_next(struct span *entries, struct history_entry *entry);

#endif
