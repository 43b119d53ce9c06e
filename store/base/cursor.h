/* SPDX-License-Identifier: MIT */
/* cursor: a place in a list that is gone through in steps, between which its members come and go.
 *
 *     head <-> a <-> b <-> c <-> head        a was taken, b is next
 *
 * One that is put last is met before the end. One that goes is reported (cursor_leave) before it is
 * unlinked; a next one that was not is noticed. */
#ifndef MUSTER_STORE_BASE_CURSOR_H
#define MUSTER_STORE_BASE_CURSOR_H

#include "store/base/list.h"

#include <stddef.h>

/* All zero: in no list. */
struct cursor {
    struct list *head;
    struct list *at; /* the next member's link; the head: none is left */
};

/* Puts it before the first member. The list is borrowed until the next cursor_begin. */
static inline void cursor_begin(struct cursor *cursor, struct list *head)
{
    cursor->head = head;
    cursor->at = head->next;
}

/* The next member's link, or NULL: all were taken, or it is in no list. */
static inline struct list *cursor_next(const struct cursor *cursor)
{
    return cursor->at != cursor->head ? list_step(cursor->at, cursor->head) : NULL;
}

/* The same, and goes on behind it. The member may be unlinked or freed then. */
static inline struct list *cursor_take(struct cursor *cursor)
{
    struct list *link = cursor_next(cursor);
    if (link != NULL) {
        cursor->at = link->next;
    }
    return link;
}

/* `link`, of this list or of another, is about to be unlinked. */
static inline void cursor_leave(struct cursor *cursor, const struct list *link)
{
    if (cursor->at == link) {
        cursor->at = link->next;
    }
}

#endif
