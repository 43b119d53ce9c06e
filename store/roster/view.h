/* SPDX-License-Identifier: MIT */
/* roster view: the members of one key as a watcher sees them. Pure: notes in, events out.
 *
 *     change note   prev == version: applied | version not newer: nothing | else: missed, reread
 *     snapshot      same birth: what it does not list is gone
 *                   in doubt, and older than the view or from another server: that server never
 *                   got the last writes of the one before it (replication and appendfsync are
 *                   asynchronous); held as below
 *                   other birth (the server lost the key): what it does not list is held for one
 *                   lease, and gone then unless it is set again
 *     lease         members whose lease is over are gone at once, and not taken in; they are ghosts
 *                   until the server's key is rid of them */
#ifndef MUSTER_STORE_ROSTER_VIEW_H
#define MUSTER_STORE_ROSTER_VIEW_H

#include "store/base/list.h"
#include "store/base/map.h"
#include "store/roster/lease.h"
#include "store/roster/member.h"
#include "store/roster/note.h"

/* A member that the server's key may still have though its lease is over. */
struct roster_ghost {
    struct list entry;
    uint64_t token;
    size_t len;
    char name[];
};

struct roster_view {
    struct roster_lease *lease; /* borrowed; NULL: every member lives until it is released */
    struct map members;
    struct list ghosts;
    struct list held; /* members of a lost server, the first to go first */
    uint32_t held_count;
    uint64_t birth, version;
    bool whole;   /* a snapshot was seen */
    bool doubted; /* the server may have gone back since: only a snapshot counts */
    bool moved;   /* it is another server now */
};

enum view_outcome {
    VIEW_SAME,    /* nothing new for watchers */
    VIEW_CHANGED, /* SETs and GONEs were given */
    VIEW_MISSED,  /* changes are missing in between: nothing was applied, a snapshot is needed */
};

/* Gets the SETs and GONEs. */
typedef void roster_view_fn(void *arg, enum roster_event event, const struct roster_member *member);

void roster_view_init(struct roster_view *view, struct roster_lease *lease);
/* Forgets everything. */
void roster_view_reset(struct roster_view *view);

enum view_outcome roster_view_change(struct roster_view *view, const struct roster_note *note,
                                     roster_view_fn *fn, void *arg);

/* `hold_until`: when members of a lost server go, on the clock that roster_view_expire is given. */
enum view_outcome roster_view_snapshot(struct roster_view *view, const struct roster_note *note,
                                       uint64_t hold_until, roster_view_fn *fn, void *arg);

/* The link was lost, and the server may be another one (`moved`: it surely is). Until the next
 * snapshot versions of before and after mean nothing to one another. */
void roster_view_doubt(struct roster_view *view, bool moved);

/* The held members stay until `hold_until` now: the link was lost again, for the nodes that would
 * have set them, too. */
void roster_view_rehold(struct roster_view *view, uint64_t hold_until);

/* Drops the members whose hold is over. */
enum view_outcome roster_view_expire(struct roster_view *view, uint64_t now, roster_view_fn *fn,
                                     void *arg);

/* Drops the members whose lease is over, unless a snapshot is to come that decides. */
enum view_outcome roster_view_judge(struct roster_view *view, roster_view_fn *fn, void *arg);

/* Forgets a ghost. */
void roster_view_end_ghost(struct roster_ghost *ghost);

/* The view shows that version of that birth, or a later one of the same birth. */
bool roster_view_reached(const struct roster_view *view, uint64_t birth, uint64_t version);

bool roster_view_find(const struct roster_view *view, struct span name, struct span *value);

/* The token of the member of that name; 0: there is none. */
uint64_t roster_view_token(const struct roster_view *view, struct span name);

/* Calls `fn` with ROSTER_SET for every member. */
void roster_view_each(const struct roster_view *view, roster_view_fn *fn, void *arg);

#endif
