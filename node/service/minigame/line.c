/* SPDX-License-Identifier: MIT */
#include "node/service/minigame/line.h"

#include "node/service/minigame/sockets.h"
#include "store/base/clock.h"

#include <stdlib.h>

enum {
    DRAW_PAUSE =
        10, /* times as long as drawing took, until a letter may have players drawn again, */
    DRAW_SHORT_US = 500, /* unless it took no longer than that */
};

static void drop_draw(struct minigame_line *line)
{
    for (size_t i = 0; i < MINIGAME_PLAYERS_MOST; i++) {
        free(line->draw.players[i]);
    }
    line->draw = (struct minigame_draw){0};
    line->drawn = false;
}

static void draw(struct minigame_line *line, bool for_round)
{
    line->for_round = for_round;
    minigame_walk_begin(&line->drawing);
}

/* Up to one that has to wait for its players. */
static void serve_on(struct minigame_line *line)
{
    const struct minigame_line_options *options = &line->options;
    if (line->serving) {
        return; /* the draw was over at once */
    }
    line->serving = true;
    while (json_array_size(line->asked) > 0 && !minigame_walk_is_on(&line->drawing)) {
        json_t *letter = json_incref(json_array_get(line->asked, 0));
        bool draws = !line->drawn && options->needs_players(options->arg, letter);
        if (draws && clock_monotonic_us() < line->may_draw_us) {
            json_array_remove(line->asked, 0);
            options->serve(options->arg, letter, MINIGAME_TOO_MANY);
        } else if (draws) {
            draw(line, false);
        } else {
            json_array_remove(line->asked, 0);
            options->serve(options->arg, letter, NULL);
            drop_draw(line);
        }
        json_decref(letter);
    }
    line->serving = false;
}

/* A walk's take. */
static bool add_player(void *arg, struct span user)
{
    struct minigame_line *line = arg;
    return minigame_draw_add(&line->draw, user);
}

/* A walk's done. */
static void on_drawn(void *arg, bool known)
{
    struct minigame_line *line = arg;
    uint64_t took_us = line->drawing.us;
    line->may_draw_us = took_us > DRAW_SHORT_US ? clock_monotonic_us() + took_us * DRAW_PAUSE : 0;
    line->drawn = true;
    line->known = known;
    if (line->for_round) {
        if (known) {
            line->options.round(line->options.arg);
        }
        drop_draw(line);
    }
    serve_on(line);
}

void minigame_line_init(struct minigame_line *line, const struct minigame_line_options *options)
{
    *line = (struct minigame_line){.options = *options, .asked = json_array()};
    line->drawing = (struct minigame_walk){.net = options->net,
                                           .online = &line->options.online,
                                           .take = add_player,
                                           .done = on_drawn,
                                           .arg = line};
    minigame_walk_init(&line->drawing);
}

void minigame_line_deinit(struct minigame_line *line)
{
    minigame_walk_end(&line->drawing);
    drop_draw(line);
    json_decref(line->asked);
}

void minigame_line_ask(struct minigame_line *line, json_t *letter)
{
    if (json_array_size(line->asked) == MINIGAME_ASKED_MOST) {
        line->options.serve(line->options.arg, letter, MINIGAME_UNREACHABLE);
        json_decref(letter);
        return;
    }
    json_array_append_new(line->asked, letter);
    serve_on(line);
}

void minigame_line_draw(struct minigame_line *line)
{
    if (!minigame_walk_is_on(&line->drawing)) {
        draw(line, true);
    }
}

bool minigame_line_knows_players(const struct minigame_line *line)
{
    return line->known;
}

void minigame_line_give_players(struct minigame_line *line, struct minigame_round *round)
{
    minigame_draw_end(&line->draw, round);
}
