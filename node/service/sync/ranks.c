/* SPDX-License-Identifier: MIT */
#include "node/service/sync/ranks.h"

#include <string.h>

void sync_ranks_init(struct sync_ranks *ranks)
{
    for (size_t i = 0; i < SYNC_RANKS; i++) {
        list_init(&ranks->lists[i]);
    }
    ranks->count = 0;
    ranks->looked = 0;
}

void sync_rank_init(struct sync_rank *rank)
{
    list_init(&rank->entry);
    rank->members = 0;
}

static struct list *list_for(struct sync_ranks *ranks, uint32_t members)
{
    return &ranks->lists[members < SYNC_RANKS ? members : SYNC_RANKS - 1];
}

void sync_ranks_put(struct sync_ranks *ranks, struct sync_rank *rank, uint32_t members)
{
    bool out = list_empty(&rank->entry);
    ranks->count += out;
    if (out || list_for(ranks, rank->members) != list_for(ranks, members)) {
        list_del(&rank->entry);
        list_push_back(list_for(ranks, members), &rank->entry);
    }
    rank->members = members;
}

void sync_ranks_drop(struct sync_ranks *ranks, struct sync_rank *rank)
{
    ranks->count -= !list_empty(&rank->entry);
    list_del(&rank->entry);
}

/* Puts it where it belongs among the `count` in `out`, which are in order; the least falls out. */
static size_t insert(struct sync_rank *rank, struct sync_rank **out, size_t count, size_t most)
{
    size_t at = count;
    while (at > 0 && out[at - 1]->members < rank->members) {
        at--;
    }
    if (at == most) {
        return count;
    }
    size_t moved = (count < most ? count : most - 1) - at;
    memmove(&out[at + 1], &out[at], moved * sizeof(*out));
    out[at] = rank;
    return count < most ? count + 1 : most;
}

/* Only in the last list are there some of different numbers of members, and they are few: each has
 * hundreds of members. */
size_t sync_ranks_first(struct sync_ranks *ranks, struct sync_rank **out, size_t most)
{
    size_t count = 0;
    for (size_t i = SYNC_RANKS; i > 0 && count < most; i--) {
        const struct list *list = &ranks->lists[i - 1];
        for (struct list *it = list->next; it != list && (i == SYNC_RANKS || count < most);
             it = it->next) {
            count = insert(LIST_ITEM(it, struct sync_rank, entry), out, count, most);
            ranks->looked++;
        }
    }
    return count;
}
