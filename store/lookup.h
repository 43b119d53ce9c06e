/* SPDX-License-Identifier: MIT */
/* lookup: key to value with a lifetime. Each call is one atomic step at the one server where its
 * key lives; the server lets keys go when their time is over, so that callers need not.
 *
 *     lookup_add     put if absent            lookup_get     read
 *     lookup_put     put, hear what was       lookup_touch   read and renew
 *     lookup_swap    put if it holds `old`    lookup_delete  take away
 *
 * Calls of one turn of the loop leave in one write. Steps over more than one key are the caller's:
 * it orders them so that each state between two steps is a right one. */
#ifndef MUSTER_STORE_LOOKUP_H
#define MUSTER_STORE_LOOKUP_H

#include "store/lookup_types.h"

struct store;

/* All: `key` (1 to 512 bytes, any) and values (up to 64 KiB) are copied; a lifetime is in
 * milliseconds, above 0. 0, or -1 when it was not sent because the server cannot be reached (then
 * `fn` is not called). */

int lookup_get(struct store *store, struct span key, const struct lookup_then *then);
int lookup_touch(struct store *store, struct span key, uint64_t life_ms,
                 const struct lookup_then *then);
int lookup_add(struct store *store, struct span key, struct span value, uint64_t life_ms,
               const struct lookup_then *then);
int lookup_put(struct store *store, struct span key, struct span value, uint64_t life_ms,
               const struct lookup_then *then);
/* A lifetime of 0 keeps the one it has. */
int lookup_swap(struct store *store, struct span key, struct span old, struct span value,
                uint64_t life_ms, const struct lookup_then *then);
int lookup_delete(struct store *store, struct span key, const struct lookup_then *then);

#endif
