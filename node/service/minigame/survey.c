/* SPDX-License-Identifier: MIT */
#include "node/service/minigame/survey.h"

#include <stdio.h>
#include <string.h>

static void look_at_seat(void *arg, const struct roster_member *member)
{
    struct minigame_survey *survey = arg;
    char name[MINIGAME_NODE_SIZE];
    uint64_t since;
    struct minigame_state *state = minigame_state_read_seat(member->value, &since);
    if (state == NULL || member->name.len >= MINIGAME_NODE_SIZE) {
        minigame_state_free(&state);
        return;
    }
    snprintf(name, sizeof(name), "%.*s", SPAN_ARG(member->name));
    if (survey->runner[0] == '\0' || since < survey->since ||
        (since == survey->since && strcmp(name, survey->runner) < 0)) {
        survey->since = since;
        memcpy(survey->runner, name, MINIGAME_NODE_SIZE);
    }
    if (strcmp(name, survey->node) != 0) {
        int64_t newest = survey->newest != NULL ? survey->newest->version : -1;
        survey->shared = survey->shared || minigame_state_is_same(state, survey->state);
        if (state->version > newest || (state->version == newest && since < survey->newest_since)) {
            minigame_state_free(&survey->newest);
            survey->newest = state;
            survey->newest_since = since;
            return;
        }
    }
    minigame_state_free(&state);
}

void minigame_survey_take(struct minigame_survey *survey, struct roster_watch *watch)
{
    roster_each(watch, look_at_seat, survey);
}
