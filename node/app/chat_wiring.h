/* chat wiring: the chat and the minigame out of the settings; the minigame draws its players from
 * those in the chat, and neither knows of the other. */
#ifndef MUSTER_NODE_APP_CHAT_WIRING_H
#define MUSTER_NODE_APP_CHAT_WIRING_H

#include "node/core/settings.h"
#include "node/service/chat/chat.h"
#include "node/service/minigame/minigame.h"

struct chat_wiring {
    struct chat *chat;
    struct minigame *minigame;
};

/* Of the node; all borrowed. */
struct chat_wiring_parts {
    struct event_base *base;
    struct http_server *http;
    struct store *store;
    struct metrics *metrics;
    struct wheel *wheel;
    const char *node;
};

/* 0, or -1 with a message. */
int chat_wiring_make(struct chat_wiring *wiring, const struct settings *settings,
                     const struct chat_wiring_parts *parts, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* What was not made is passed over. */
void chat_wiring_free(struct chat_wiring *wiring);

/* Are the files that the settings name good? 0, or -1 with a message. */
int chat_wiring_check(const struct settings *settings, char *error, size_t error_size)
    __attribute__((warn_unused_result));

#endif
