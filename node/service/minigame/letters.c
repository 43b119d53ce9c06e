/* SPDX-License-Identifier: MIT */
#include "node/service/minigame/letters.h"

#include "store/bus.h"

#include <stdlib.h>

int minigame_post_publish(const struct minigame_post *post, json_t *letter)
{
    char *text = json_dumps(letter, JSON_COMPACT);
    int sent = bus_publish(post->store, MINIGAME_KEY, span_str(text));
    free(text);
    json_decref(letter);
    return sent;
}

void minigame_post_broadcast(const struct minigame_post *post, json_t *json)
{
    if (minigame_post_publish(post, json_pack("{s:O}", "all", json)) != 0) {
        minigame_sockets_say(post->sockets, json);
    }
    json_decref(json);
}

void minigame_post_deliver(const struct minigame_post *post, json_t *letter, bool kept)
{
    json_t *all = json_object_get(letter, "all"), *own = json_object_get(letter, "own");
    if (all != NULL && kept) {
        minigame_post_broadcast(post, json_incref(all));
    } else if (json_object_get(letter, "to") != NULL) {
        if (!kept) {
            json_object_set_new(letter, "error", json_string(MINIGAME_UNREACHABLE));
        }
        minigame_post_publish(post, json_incref(letter));
    } else if (own != NULL && !kept) {
        minigame_sockets_refuse(post->sockets, (uint64_t)json_integer_value(own),
                                MINIGAME_UNREACHABLE);
    }
}

json_t *minigame_post_update(void)
{
    return json_pack("{s:s}", "info", "update");
}
