/* SPDX-License-Identifier: MIT */
/* chat words: what stands in the messages of /chat, both ways. Pure: text in, text out; what is
 * wrong comes back in words for the client, static. */
#ifndef MUSTER_NODE_SERVICE_CHAT_WORDS_H
#define MUSTER_NODE_SERVICE_CHAT_WORDS_H

#include "node/proto/json/scan.h"
#include "node/service/chat/login.h"

enum chat_action {
    CHAT_NOTHING, /* no request at all */
    CHAT_LOGIN,
    CHAT_MESSAGE,
    CHAT_HISTORY,
    CHAT_UNKNOWN,
};

/* What a request may hold at its top level. */
enum chat_field {
    CHAT_ACTION,
    CHAT_TOKEN,
    CHAT_USERNAME,
    CHAT_PASSWORD,
    CHAT_TEXT,
    CHAT_CHANNEL,
    CHAT_LIMIT,
    CHAT_OFFSET,
    CHAT_FIELDS
};

struct chat_request {
    enum chat_action action;
    struct json_field fields[CHAT_FIELDS]; /* borrowed from the text */
};

/* `text` is all of a request, parts of which may have been looked at in `coming`; frees that. NULL, or
 * what is wrong with it (and the action is NOTHING). */
const char *chat_read(struct chat_request *request, struct json_coming **coming, struct span text);

/* Looks at a part of a long one as it comes in: `so_far` is all that is there. */
void chat_read_part(struct json_coming **coming, struct span so_far);

/* The text of a string field in `out` (replaced). false when it is no string, or empty. */
bool chat_field_text(const struct chat_request *request, enum chat_field field, struct buf *out);

/* Appends the broadcast of a message request by `user`: all but the text and the channel is the
 * server's word. `text_limit`: bytes of the text as JSON writes it. NULL, or what is wrong. */
const char *chat_broadcast(const struct chat_request *request, const struct chat_user *user,
                           uint32_t text_limit, struct buf *out);

/* Which part of the `most` newest messages a history request wants. NULL, or what is wrong. */
const char *chat_page(const struct chat_request *request, uint32_t most, uint32_t *offset,
                      uint32_t *limit);

/* Appends {"error": "..."}. */
void chat_error(const char *text, struct buf *out);

#endif
