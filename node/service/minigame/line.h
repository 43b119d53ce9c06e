/* SPDX-License-Identifier: MIT */
/* minigame line: what the runner is asked, in order, and the players that are drawn for it.
 *
 *     asked --> line --the first one--needs players?--> drawn, over some turns --> served
 *                                       '---------no-----------------------------> served
 *     a round that is due --------------------------> drawn, over some turns --> set up
 *
 * There is one draw at a time; who is asked for something meanwhile waits behind it. */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_LINE_H
#define MUSTER_NODE_SERVICE_MINIGAME_LINE_H

#include "node/service/minigame/draw.h"
#include "node/service/minigame/players.h"

#include <jansson.h>

enum {
    MINIGAME_ASKED_MOST = 1000, /* letters that wait; one more is refused */
};

struct minigame_line_options {
    struct net *net; /* borrowed */
    struct minigame_online online;
    /* Is the letter to be served with players? */
    bool (*needs_players)(void *arg, const json_t *letter);
    /* Its turn has come: with its players, if it needs them, in the line. Or why not: `refusal`. */
    void (*serve)(void *arg, const json_t *letter, const char *refusal);
    /* The line has the players for a round. */
    void (*round)(void *arg);
    void *arg;
};

/* Lives inside the caller's object, which does not move. */
struct minigame_line {
    struct minigame_line_options options;
    json_t *asked;                /* letters; the draw is for the first one, */
    bool for_round;               /* or for a round */
    struct minigame_walk drawing; /* of players */
    struct minigame_draw draw;
    bool drawn, known;    /* it is over; and was it known who is online? */
    bool serving;         /* letters */
    uint64_t may_draw_us; /* from then on, for a letter; of a clock that never jumps */
};

void minigame_line_init(struct minigame_line *line, const struct minigame_line_options *options);

/* What waits is dropped. */
void minigame_line_deinit(struct minigame_line *line);

/* Steals `letter`, which holds a request; it is served before it returns where nothing is in front of it. */
void minigame_line_ask(struct minigame_line *line, json_t *letter);

/* Draws players for a round, unless some are being drawn already. Nothing comes of it while it is not
 * known who is online. */
void minigame_line_draw(struct minigame_line *line);

/* In `serve`: is it known who is online? */
bool minigame_line_knows_players(const struct minigame_line *line);

/* In `serve` and `round`: the players that were drawn go to the round. */
void minigame_line_give_players(struct minigame_line *line, struct minigame_round *round);

#endif
