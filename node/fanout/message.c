/* SPDX-License-Identifier: MIT */
#include "node/fanout/message.h"

void shared_message_init(struct shared_message *message, enum ws_kind kind, struct span payload)
{
    *message = (struct shared_message){.kind = kind, .payload = payload};
}

void shared_message_deinit(struct shared_message *message)
{
    for (int i = 0; i < SHARED_FORMS; i++) {
        chunk_unref(message->forms[i]);
        message->forms[i] = NULL;
    }
}

struct chunk *shared_message_chunk(struct shared_message *message, enum shared_form form)
{
    if (message->forms[form] == NULL) {
        struct chunk *chunk = NULL;
        if (form == SHARED_WS_DEFLATED && message->payload.len >= WS_DEFLATE_FROM) {
            chunk = ws_frame_deflated(message->kind, message->payload);
        }
        if (chunk == NULL && form == SHARED_WS_DEFLATED) {
            chunk = chunk_ref(shared_message_chunk(message, SHARED_WS_PLAIN));
        }
        message->forms[form] = chunk != NULL ? chunk : ws_frame(message->kind, message->payload);
    }
    return message->forms[form];
}
