/* SPDX-License-Identifier: MIT */
/* fleet look: does anybody see what the nodes tell of themselves?
 *
 *     a node with a page open, or whom somebody asked: "look" --bus, at once and every 4 s--> all nodes
 *     they tell their figures at once, and every 2 s until nobody has looked for 10 s
 *
 * A look that is lost costs no more than the time until the next one. */
#ifndef MUSTER_NODE_SERVICE_FLEET_LOOK_H
#define MUSTER_NODE_SERVICE_FLEET_LOOK_H

#include "node/core/loop.h"
#include "store/base/span.h"

#include <stdbool.h>
#include <stddef.h>

struct fleet_look;
struct store;

/* Called when another node looks, some times a second at most: it waits for the figures. */
struct fleet_look *fleet_look_new(struct store *store, struct loop *loop, void (*fn)(void *arg),
                                  void *arg) __attribute__((returns_nonnull, warn_unused_result));
void fleet_look_free(struct fleet_look **look);

/* Has a node looked lately, this one or another? */
bool fleet_look_is_on(const struct fleet_look *look);

/* This node looks: says so, and nobody has answered yet. */
void fleet_look_begin(struct fleet_look *look);

/* The node of that name has told its figures: so many have since this node looked. */
size_t fleet_look_note(struct fleet_look *look, struct span node);

/* Nobody waits for them any more. */
void fleet_look_forget(struct fleet_look *look);

/* Now and then: does this node still look? */
void fleet_look_again(struct fleet_look *look, bool looks);

#endif
