/* SPDX-License-Identifier: MIT */
/* minigame survey: what the seats of all nodes say: which node sits longest, and the newest state that
 * another one has. */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_SURVEY_H
#define MUSTER_NODE_SERVICE_MINIGAME_SURVEY_H

#include "node/service/minigame/state.h"
#include "store/roster/roster.h"

struct minigame_survey {
    const char *node;                   /* this one; borrowed */
    const struct minigame_state *state; /* that it has; borrowed */
    struct minigame_state *newest;      /* state in the others' seats, owned; or NULL */
    uint64_t newest_since;              /* of the seat that it lies in */
    bool shared;                        /* another one has the same state as this node */
    uint64_t since;                     /* of the longest sitting */
    char runner[MINIGAME_NODE_SIZE];    /* the node that sits longest; "": none */
};

/* Looks at all seats. `survey` has `node` and `state`, and else nothing. */
void minigame_survey_take(struct minigame_survey *survey, struct roster_watch *watch);

#endif
