/* SPDX-License-Identifier: MIT */
/* minigame scheduler: one for the cluster, as every node reaches it. Every node claims a seat in a
 * roster, and the one that sits longest, the runner, runs the scheduler. Requests go to the runner;
 * what it has to say to all comes back over the bus, to the sockets of its own node too, so that
 * every socket hears the same in the same order.
 *
 *     request --> own node ------------bus {"to", "from", "id", "request"}--> runner: carried out
 *     sockets <-- every node   <--bus {"all"}------------------------------------'   |
 *     asker   <-- own node     <--bus {"to", "id", "error"}--------------------------'
 *
 * A node that runs the scheduler itself leaves out the way there and back.
 *
 * Each seat carries the newest state that its node has seen, so the state outlives any node, and a
 * Redis that lost its memory. A list without a lease, the ledger, has it too, so that it outlives all
 * nodes.
 *
 *     runner: draft, version + 1 --claim--> roster --> others see it, claim it as theirs
 *                                              '-----> runner --ledger--> it is the state now, and told
 *     runner dies --> its seat runs out --> the next in line goes on from the state it has
 *
 * A draft counts only when the store has it: what was told or shown is never taken back. Where two
 * nodes think for a moment that they run the scheduler, the first one in the roster's order goes
 * on; the other sees that state in its view before its own draft is settled, and drops it. */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_SCHEDULER_H
#define MUSTER_NODE_SERVICE_MINIGAME_SCHEDULER_H

#include "node/core/wheel.h"
#include "node/service/minigame/players.h"
#include "node/service/minigame/sockets.h"
#include "store/store.h"

#include <jansson.h>

struct minigame_scheduler;

struct minigame_scheduler_options {
    struct store *store;              /* borrowed */
    struct wheel *wheel;              /* borrowed */
    const char *node;                 /* this node's name, borrowed */
    struct minigame_sockets *sockets; /* that hear what it says; borrowed */
    struct net *net;                  /* borrowed */
    struct minigame_online online;
};

struct minigame_scheduler *minigame_scheduler_new(const struct minigame_scheduler_options *options);

/* Frees; NULL inside is fine. */
void minigame_scheduler_free(struct minigame_scheduler **scheduler);

/* Brings a well-formed request (borrowed) to the runner for the socket `asker`, which is told where
 * nothing comes of it, at once or when that shows. */
void minigame_scheduler_ask(struct minigame_scheduler *scheduler, uint64_t asker, json_t *request);

/* Tells every socket of the cluster to look at the events; while the bus is away, only the sockets
 * here. Who is told looks at all that there is: what is asked for at once is said twice, now and once more. */
void minigame_scheduler_update(struct minigame_scheduler *scheduler);

/* The current round as GET /api/gaming/events shows it: new. `flat`: in the form with one level. */
json_t *minigame_scheduler_current(const struct minigame_scheduler *scheduler, bool flat);

#endif
