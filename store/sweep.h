/* SPDX-License-Identifier: MIT */
/* sweep: goes over all nodes of a map, some in each step, so that what concerns a hundred thousand of
 * them holds up nobody.
 *
 *     something happened to all --> a count goes up --> sweep_start
 *     each one: compares the count with the one it saw last --when it is next looked at, or swept--> does what
 *     has to be done
 *
 * What is swept is right before the sweep comes, too: code that looks at it compares first. */
#ifndef MUSTER_STORE_SWEEP_H
#define MUSTER_STORE_SWEEP_H

#include "store/base/map.h"
#include "store/store_impl.h"

enum { SWEEP_STEPS = 256 }; /* of one run: about as many nodes */

/* `fn` is called with each node and may kick chores, but change nothing of the map. Both are borrowed. */
void sweep_init(struct sweep *sweep, struct store *store, const struct map *map, map_visit_fn *fn);

/* Begins; where it is under way, it goes round once more behind that: who is always begun again comes to an end of
 * the map, too. */
void sweep_start(struct sweep *sweep);

void sweep_deinit(struct sweep *sweep);

#endif
