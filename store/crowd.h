/* SPDX-License-Identifier: MIT */
/* crowd: a topic whose receivers are the nodes that a roster of the same name holds. What is said to a
 * crowd goes to those nodes alone, by ways (store/way.h): no echo, no subscription for each topic.
 * They hear it with bus_attend.
 *
 *     who receives:  attend --READY--> claim --in its view--> from here on it misses nothing
 *     who speaks:    say --> to the nodes in the view, and kept --> a proof: forgotten
 *                                                        \--> a node comes into the view: repeated to it
 *
 * A speaker's view may lag behind a receiver that knows already that it is there. So what was
 * said is kept until a message of this node's own, which went out after it, came back, and the view
 * has all that was heard before that; it is repeated to a node that comes into the view meanwhile.
 * What is said before there is a view waits for it (tests/model/model_ways.py). */
#ifndef MUSTER_STORE_CROWD_H
#define MUSTER_STORE_CROWD_H

#include "store/base/span.h"
#include "store/shard_set.h"

#include <stdbool.h>
#include <stdint.h>

struct store;
struct crowd;
struct roster_member;

/* Does the member receive? Then *node is its node, borrowed from the member. */
typedef bool crowd_member_fn(const struct roster_member *member, struct span *node);

/* New, to speak to those in the roster `topic` of which `fn` says that they receive. */
struct crowd *crowd_open(struct store *store, struct span topic, crowd_member_fn *fn)
    __attribute__((returns_nonnull, warn_unused_result));

/* Ends *crowd and nulls it; NULL inside is fine. What was said goes on. */
void crowd_close(struct crowd **crowd);

/* Without waiting. 0, or -1 when it surely reaches no other process: a link is down or its queue
 * full. */
int crowd_say(struct crowd *crowd, struct span payload) __attribute__((warn_unused_result));

/* For open.c. */
void crowds_init(struct store *store);
void crowds_deinit(struct store *store);
void crowds_on_link(struct store *store, const struct shard_set *which, bool up);
void crowds_on_proof(struct store *store, const struct shard_set *which, uint64_t asked_us);

#endif
