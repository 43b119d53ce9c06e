/* SPDX-License-Identifier: MIT */
/* watchers: those that follow one thing of the store (a topic, a key of the roster, a history), and
 * the chore in which that thing is looked at when something about it changed.
 *
 *     join --> told, in the order in which they joined --> leave: told no more --chore--> freed
 *
 * A watcher may leave at any time, also while it is told: it is only marked then, and freed in the
 * chore, when no function walks the list. Each word has a struct of its own around `struct watcher`,
 * from mem_zalloc and with the watcher as its first member. */
#ifndef MUSTER_STORE_WATCHERS_H
#define MUSTER_STORE_WATCHERS_H

#include "store/store_impl.h"

#include <assert.h>

struct watchers {
    struct store *store;
    struct chore chore;
    struct list list; /* struct watcher, also those that left since the last sweep */
};

struct watcher {
    struct list entry;
    struct watchers *of;
    bool left;
};

/* Holds that a watcher may be freed as the struct around it. */
#define WATCHER_FIRST(type)                                                                        \
    static_assert(offsetof(type, watcher) == 0, "a watcher is freed as its struct")

/* `run` is called once in a later turn after each kick, by way of the chore. */
void watchers_init(struct watchers *watchers, struct store *store,
                   void (*run)(struct chore *chore));

/* Frees all watchers, told or not, and takes the chore back. */
void watchers_deinit(struct watchers *watchers);

/* Has the chore run. */
void watchers_kick(struct watchers *watchers);

/* Steals `watcher`, the first member of what mem_zalloc gave, and kicks. */
void watchers_join(struct watchers *watchers, struct watcher *watcher);

/* `watcher` is told nothing more; kicks. */
void watchers_leave(struct watcher *watcher);

/* Frees those that left. For the chore: nothing may walk the list. */
void watchers_sweep(struct watchers *watchers);

/* Nobody follows, as of the last sweep. */
static inline bool watchers_none(const struct watchers *watchers)
{
    return list_empty(&watchers->list);
}

/* May be told something: it did not leave, and the store is not being closed. */
static inline bool watcher_listens(const struct watcher *watcher)
{
    return !watcher->left && !watcher->of->store->closing;
}

/* For WATCHERS_EACH: the struct around an entry of the list. */
#define WATCHER_AT(type, link) LIST_ITEM(link, struct type, watcher.entry)

/* Walks the watchers as `struct type *it`; any of them may leave meanwhile. */
#define WATCHERS_EACH(type, it, watchers)                                                          \
    for (struct type *it = WATCHER_AT(type, (watchers)->list.next),                                \
                     *it##_next = WATCHER_AT(type, it->watcher.entry.next);                        \
         &it->watcher.entry != &(watchers)->list;                                                  \
         it = it##_next, it##_next = WATCHER_AT(type, it->watcher.entry.next))

#endif
