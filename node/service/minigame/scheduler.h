/* SPDX-License-Identifier: MIT */
/* minigame scheduler, as every node reaches it. Requests that concern it go to the node that runs
 * it; what it has to say to all comes back over the bus, to the sockets of that node too, so that
 * every socket hears the same in the same order.
 *
 *     request --> own node ------------bus {"to", "from", "id", "request"}--> runner: carried out
 *     sockets <-- every node   <--bus {"all"}------------------------------------'   |
 *     asker   <-- own node     <--bus {"to", "id", "error"}--------------------------'
 *
 * A node that runs the scheduler itself leaves out the way there and back. What the runner has to
 * say of a change waits until the store has the change. */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_SCHEDULER_H
#define MUSTER_NODE_SERVICE_MINIGAME_SCHEDULER_H

#include "node/core/wheel.h"
#include "store/store.h"

#include <jansson.h>

/* What the client is told when the runner cannot be asked, or does not answer. */
#define MINIGAME_UNREACHABLE "the scheduler cannot be reached now, please try again"
#define MINIGAME_NO_PLAYERS "the players cannot be reached now, please try again"

struct minigame_scheduler;

struct minigame_scheduler_options {
    struct store *store; /* borrowed */
    struct wheel *wheel; /* borrowed */
    const char *node;    /* this node's name, borrowed */
    /* Calls `fn` once with each player online anywhere in the cluster; false, without a call, while
     * that is not known. */
    bool (*each_online)(void *online, void (*fn)(void *arg, struct span user), void *arg);
    void *online;
    /* `json` (borrowed) is for every socket of this node. */
    void (*say)(void *arg, const json_t *json);
    /* The runner answered a request of `asker` that was sent to it; `error` is "" where it did what
     * it was asked for. */
    void (*answered)(void *arg, uint64_t asker, const char *error);
    /* Nothing came of a request of `asker` that was not sent to another node. */
    void (*refused)(void *arg, uint64_t asker, const char *error);
    void *arg;
};

struct minigame_scheduler *minigame_scheduler_new(const struct minigame_scheduler_options *options);

/* Frees; NULL inside is fine. */
void minigame_scheduler_free(struct minigame_scheduler **scheduler);

/* Brings a well-formed request (borrowed) to the runner for `asker`, a number of the caller's. True
 * when it was sent to another node: then answered() is called, or never, where an answer is lost.
 * False when it was carried out here: then refused() is called where nothing came of it, at once or
 * when that shows. */
bool minigame_scheduler_ask(struct minigame_scheduler *scheduler, uint64_t asker, json_t *request);

/* Tells every socket of the cluster to look at the events; while the bus is away, only the sockets
 * here. */
void minigame_scheduler_update(struct minigame_scheduler *scheduler);

/* The current round as GET /api/gaming/events shows it: new. `flat`: in the form with one level. */
json_t *minigame_scheduler_current(const struct minigame_scheduler *scheduler, bool flat);

#endif
