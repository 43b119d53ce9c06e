/* SPDX-License-Identifier: MIT */
/* roster: leased membership with change notice.
 *
 * A node *claims* (key, member, value): absolute local truth, repeated until it is in, so that a
 * late, lost or repeated write heals by itself. It lives while the node's lease does, of which there
 * is one on each server, renewed by a beat; a node that hears of a lease that ran out drops that node's
 * members from its views at once, and from the key when it next touches it. Every real change of a
 * key has a version and is published; a *watch* follows it and holds the view of the key as of one
 * version, less those whose lease is over.
 *
 *     claim / release --> server: change, version + 1, publish --> watch: view, events
 *     beat            --> server: renew, end leases            --> views: their members go
 *
 * Every watch of a key, on whatever node, passes through the same changes in the same order (a
 * watch that missed some jumps over them to a later version).
 *
 * When the server lost its data, members that were in the view and are not claimed again stay in it
 * for one lease before they count as gone: a healing fleet does not flicker. */
#ifndef MUSTER_STORE_ROSTER_ROSTER_H
#define MUSTER_STORE_ROSTER_ROSTER_H

#include "store/roster/member.h"

#include <stdbool.h>
#include <stddef.h>

struct store;
struct roster_watch;

/* `member` is borrowed until return, and empty but for SET and GONE. The watcher may unwatch any
 * watch, this one too, and claim or release inside. */
typedef void roster_fn(void *arg, enum roster_event event, const struct roster_member *member);

/* New watch of `key` (any bytes, 1 to 512; copied). Several per key are fine. */
struct roster_watch *roster_watch(struct store *store, struct span key, roster_fn *fn, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* Ends *watch and nulls it; NULL inside is fine. No event comes after this. */
void roster_unwatch(struct roster_watch **watch);

/* Has the view members that only a server which lost its data had, so that they may come back with
 * other values, or be gone? */
bool roster_holds(const struct roster_watch *watch);

/* Is all that was heard of the key in the view that the watch was told of? Not while it has to be read
 * again. */
bool roster_is_sure(const struct roster_watch *watch);

/* The members in the view. */
size_t roster_count(const struct roster_watch *watch);

/* Calls `fn` with each member of the view in no order; `fn` must not unwatch. */
void roster_each(const struct roster_watch *watch,
                 void (*fn)(void *arg, const struct roster_member *member), void *arg);

/* The member of that name in the view, or false. `value` is borrowed until the next event. */
bool roster_find(const struct roster_watch *watch, struct span name, struct span *value);

/* Claims `member` of `key` with `value` (all copied) until it is released; a second claim of the
 * same member replaces the value. Claims made before the one in flight is answered are joined: only
 * the last value counts. A claim of a key that this store watches is carried out after the watch
 * hears. */
void roster_claim(struct store *store, struct span key, struct span member, struct span value);

/* As roster_claim, for what nobody waits for: the server is told with what is said to it anyhow, once a
 * beat (a second at most). */
void roster_claim_patiently(struct store *store, struct span key, struct span member,
                            struct span value);

/* Ends a claim of this store; nothing happens when there is none. Where another store has claimed the
 * same member since, its claim stays. */
void roster_release(struct store *store, struct span key, struct span member);

#endif
