#include "node/service/minigame_request.h"

#include "node/proto/json_walk.h"

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

static const char *start_fault(const json_t *request)
{
    return !is_seconds(request, "period", 1)   ? "period has to be a number of seconds, 1 to 86400"
           : !is_seconds(request, "offset", 0) ? "offset has to be a number of seconds, 0 to 86400"
                                               : NULL;
}

static const char *end_fault(const json_t *request)
{
    const json_t *board = json_object_get(request, "leaderboard");
    return !json_is_string(json_object_get(request, "id")) ? "id has to be a string"
           : board != NULL && !json_is_array(board)        ? "leaderboard has to be a list"
                                                           : NULL;
}

const char *minigame_request_fault(const json_t *request)
{
    const json_t *value = json_object_get(request, "action");
    const char *action = json_string_value(value);
    if (!json_is_object(request)) {
        return "the message is not a JSON object";
    }
    if (action == NULL) {
        return value == NULL ? "action is missing" : "action has to be a string";
    }
    if (strcmp(action, "scheduler_start") == 0) {
        return start_fault(request);
    }
    if (strcmp(action, "game_end") == 0) {
        return end_fault(request);
    }
    return strcmp(action, "scheduler_stop") == 0 || strcmp(action, "scheduler_info") == 0 ||
                   strcmp(action, "online_players") == 0
               ? NULL
               : "unknown action, it has to be scheduler_start, scheduler_stop, scheduler_info, "
                 "online_players or game_end";
}
