/* SPDX-License-Identifier: MIT */
/* message: one outbound message, encoded at most once for each way it is sent and shared by all
 * receivers. */
#ifndef MUSTER_NODE_FANOUT_MESSAGE_H
#define MUSTER_NODE_FANOUT_MESSAGE_H

#include "node/proto/ws/ws.h"
#include "store/base/chunk.h"
#include "store/base/span.h"

/* How a receiver takes it. */
enum shared_form {
    SHARED_WS_PLAIN,
    SHARED_WS_DEFLATED, /* where that makes it smaller */
    SHARED_FORMS
};

/* Lives on the caller's stack while a message is handed out; the chunks live on in the queues. */
struct shared_message {
    enum ws_kind kind;
    struct span payload; /* borrowed until shared_message_deinit */
    struct chunk *forms[SHARED_FORMS];
};

void shared_message_init(struct shared_message *message, enum ws_kind kind, struct span payload);
void shared_message_deinit(struct shared_message *message);

/* The message in that form, built on first use; borrowed until shared_message_deinit. */
struct chunk *shared_message_chunk(struct shared_message *message, enum shared_form form);

#endif
