/* SPDX-License-Identifier: MIT */
#include "node/service/minigame/draw.h"

#include "store/base/entropy.h"
#include "store/base/mem.h"
#include "store/base/utf8.h"

#include <stdlib.h>

bool minigame_draw_add(void *arg, struct span user)
{
    struct minigame_draw *draw = arg;
    if (!utf8_valid(user)) {
        return true;
    }
    uint64_t at = draw->seen++;
    at = at < MINIGAME_PLAYERS_MOST ? at : entropy_below(draw->seen);
    if (at < MINIGAME_PLAYERS_MOST) {
        free(draw->players[at]);
        draw->players[at] = mem_dup(user);
    }
    return true;
}

void minigame_draw_end(struct minigame_draw *draw, struct minigame_round *round)
{
    while (round->player_count < MINIGAME_PLAYERS_MOST &&
           draw->players[round->player_count] != NULL) {
        round->players[round->player_count] = draw->players[round->player_count];
        draw->players[round->player_count] = NULL;
        round->player_count++;
    }
}
