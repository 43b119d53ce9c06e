/* SPDX-License-Identifier: MIT */
/* loop: the event loop, one turn at a time.
 *
 *     wait -> callbacks of what happened -> hooks in the order they were added -> next turn
 *
 * Work that is better done once per turn (writing, freeing) hangs on a hook. While a turn lasts, all
 * that came meanwhile waits: so code that has much to do looks at loop_turn_us and leaves the rest for
 * the next turn. */
#ifndef MUSTER_NODE_CORE_LOOP_H
#define MUSTER_NODE_CORE_LOOP_H

#include "node/core/metrics.h"

#include <event2/event.h>
#include <stdint.h>

struct loop;

/* What one turn may take of the time of all others, in microseconds: what shares it out stops there. */
enum { LOOP_TURN_BUDGET_US = 2000 };

/* New, or the process ends with a message: without an event loop there is nothing to run. */
struct loop *loop_new(void);
void loop_free(struct loop **loop);

/* The libevent base, borrowed. */
struct event_base *loop_base(const struct loop *loop);

/* The number of the turn that runs: what happens in one turn bears one number. */
uint64_t loop_turn(const struct loop *loop);

/* Something happened in this turn: its time runs from the first such call. Cheap; callbacks of
 * sockets and timers begin with it. */
void loop_awake(struct loop *loop);

/* Microseconds since then (0: none was made yet). */
uint64_t loop_turn_us(struct loop *loop);

/* From now on each turn is counted in the two histograms of turns, and one that takes more than 50 ms of
 * CPU time is logged. A turn's time is the longer one of two: from loop_awake to its end, and the CPU
 * time of its thread. `metrics` is borrowed for the loop's life. */
void loop_measure(struct loop *loop, struct metrics *metrics);

/* Calls `fn` at the end of every turn; a few, added at start, for the loop's life. */
void loop_at_turn_end(struct loop *loop, void (*fn)(void *arg), void *arg);

/* Turns until loop_stop. */
void loop_run(struct loop *loop);

/* Ends loop_run after this turn. */
void loop_stop(struct loop *loop);

/* Makes the loop turn again without waiting, for work that a bound per turn left over. */
void loop_again(struct loop *loop);

#endif
