/* SPDX-License-Identifier: MIT */
/* list: a ring of links kept inside the objects themselves. The head is a link of its own.
 *
 *     head <-> a.link <-> b.link <-> head
 *
 * An unlinked link points at itself, so list_del twice is harmless. A ring that is broken (a link that
 * was put into two lists, or freed in one) is noticed at the next change beside it. */
#ifndef MUSTER_STORE_BASE_LIST_H
#define MUSTER_STORE_BASE_LIST_H

#include "store/base/check.h"
#include "store/base/mem.h"

#include <stdbool.h>

struct list {
    struct list *next, *prev;
};

/* Makes `l` an empty head, or an unlinked link. */
static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_push_back(struct list *head, struct list *link)
{
    CHECK(head->prev->next == head);
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* gcc -fanalyzer does not see that a ring's neighbours are never ones that were unlinked and freed.
 * */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-use-after-free"
#endif

/* Unlinks; does nothing to what is not linked. */
static inline void list_del(struct list *link)
{
    CHECK(link->prev->next == link && link->next->prev == link);
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/* Moves all of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define LIST_ITEM(linkptr, type, member) CONTAINER_OF(linkptr, type, member)

/* For LIST_EACH: `next`, unless it was unlinked since the walk looked at it. */
static inline struct list *list_step(struct list *next, const struct list *head)
{
    CHECK(next->next != next || next == head);
    return next;
}

/* Walks the links of `head`; `it` itself may be unlinked or freed meanwhile, its neighbour may not. */
#define LIST_EACH(it, head)                                                                        \
    for (struct list *it##_head = (head), *it = it##_head->next, *it##_next = it->next;            \
         it != it##_head; it = list_step(it##_next, it##_head), it##_next = it->next)

#endif
