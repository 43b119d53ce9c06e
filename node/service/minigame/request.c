/* SPDX-License-Identifier: MIT */
#include "node/service/minigame/request.h"

#include "node/proto/json/walk.h"

#include <stdbool.h>
#include <string.h>

enum { DAY = 24 * 3600 }; /* seconds */

/* Checked first by the scanner that all protocols share, which bounds the nesting: the library
 * takes 2,048 levels, and recurses. */
json_t *minigame_request_read(struct span text)
{
    size_t at;
    return json_valid(text, &at) ? json_loadb(text.ptr, text.len, 0, NULL) : NULL;
}

static bool is_seconds(const json_t *request, const char *key, json_int_t least)
{
    const json_t *value = json_object_get(request, key);
    return value == NULL || (json_is_integer(value) && json_integer_value(value) >= least &&
                             json_integer_value(value) <= DAY);
}

enum minigame_action minigame_request_action(const json_t *request)
{
    static const char *const words[] = {
        [MINIGAME_START] = "scheduler_start", [MINIGAME_STOP] = "scheduler_stop",
        [MINIGAME_INFO] = "scheduler_info",   [MINIGAME_END] = "game_end",
        [MINIGAME_ONLINE] = "online_players",
    };
    const char *action = json_string_value(json_object_get(request, "action"));
    for (int i = 0; action != NULL && i < MINIGAME_UNKNOWN; i++) {
        if (strcmp(action, words[i]) == 0) {
            return (enum minigame_action)i;
        }
    }
    return MINIGAME_UNKNOWN;
}

const char *minigame_request_fault(const json_t *request)
{
    const json_t *action = json_object_get(request, "action");
    const json_t *board = json_object_get(request, "leaderboard");
    if (!json_is_object(request)) {
        return "the message is not a JSON object";
    }
    if (!json_is_string(action)) {
        return action == NULL ? "action is missing" : "action has to be a string";
    }
    switch (minigame_request_action(request)) {
    case MINIGAME_START:
        return !is_seconds(request, "period", 1)
                   ? "period has to be a number of seconds, 1 to 86400"
               : !is_seconds(request, "offset", 0)
                   ? "offset has to be a number of seconds, 0 to 86400"
                   : NULL;
    case MINIGAME_END:
        return !json_is_string(json_object_get(request, "id")) ? "id has to be a string"
               : board != NULL && !json_is_array(board)        ? "leaderboard has to be a list"
                                                               : NULL;
    case MINIGAME_UNKNOWN:
        return "unknown action, it has to be scheduler_start, scheduler_stop, scheduler_info, "
               "online_players or game_end";
    default:
        return NULL;
    }
}
