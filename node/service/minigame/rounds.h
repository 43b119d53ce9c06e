/* SPDX-License-Identifier: MIT */
/* minigame rounds: one scheduler for the cluster. Every node claims a seat in a roster, and the one
 * that sits longest runs the scheduler; each seat carries the newest state that its node has seen,
 * so the state outlives any node, and a Redis that lost its memory. A list without a lease, the ledger,
 * has it too, so that it outlives all nodes.
 *
 *     runner: draft, version + 1 --claim--> roster --> others see it, claim it as theirs
 *                                              '-----> runner --ledger--> it is the state now, and told
 *     runner dies --> its seat runs out --> the next in line goes on from the state it has
 *
 * A draft counts only when the store has it: what was told or shown is never taken back. Where two
 * nodes think for a moment that they run the scheduler, the first one in the roster's order goes
 * on; the other sees that state in its view before its own draft is settled, and drops it. */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_ROUNDS_H
#define MUSTER_NODE_SERVICE_MINIGAME_ROUNDS_H

#include "node/core/wheel.h"
#include "store/store.h"

#include <jansson.h>

struct minigame_rounds;

struct minigame_rounds_options {
    struct store *store; /* borrowed */
    struct wheel *wheel; /* borrowed */
    const char *node;    /* this node's name, borrowed */
    /* Calls `fn` once with each player online anywhere in the cluster; false, without a call, while
     * that is not known. */
    bool (*each_online)(void *online, void (*fn)(void *arg, struct span user), void *arg);
    void *online;
    /* This node has set up a new round (as yet in the draft). */
    void (*new_round)(void *arg);
    /* What was changed here since minigame_rounds_settled() last held is the state now; or, `kept`
     * being false, it never happened. */
    void (*settled)(void *arg, bool kept);
    void *arg;
};

struct minigame_rounds *minigame_rounds_new(const struct minigame_rounds_options *options);

/* Frees; NULL inside is fine. */
void minigame_rounds_free(struct minigame_rounds **rounds);

/* The node that runs the scheduler, borrowed; NULL while that cannot be known. */
const char *minigame_rounds_runner(const struct minigame_rounds *rounds);

/* True when it is this node; the calls below that change something are for it alone. */
bool minigame_rounds_here(const struct minigame_rounds *rounds);

/* Nothing that was changed here waits for the store. */
bool minigame_rounds_settled(const struct minigame_rounds *rounds);

/* The scheduler is on, as last changed; *period and *offset in seconds. */
bool minigame_rounds_running(const struct minigame_rounds *rounds, unsigned *period,
                             unsigned *offset);

/* Starts the game, or starts it again: a round is set up now, and then one in every `period`
 * seconds; games begin `offset` seconds after their round was set up. False: the players online are
 * not known, and nothing was changed. */
bool minigame_rounds_start(struct minigame_rounds *rounds, unsigned period, unsigned offset)
    __attribute__((warn_unused_result));

void minigame_rounds_stop(struct minigame_rounds *rounds);

/* Ends game `id` and pays the prizes. `leaderboard` is a JSON list of {id, position}. New: a list
 * of {id, won, balance}; or NULL with a text for the caller. */
json_t *minigame_rounds_end(struct minigame_rounds *rounds, const char *id,
                            const json_t *leaderboard, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* The current round as GET /api/gaming/events shows it: new. `flat`: in the form with one level. */
json_t *minigame_rounds_current(const struct minigame_rounds *rounds, bool flat);

#endif
