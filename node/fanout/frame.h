/* frame: one outbound message, encoded at most once for each way it is sent and shared by all who
 * get it. */
#ifndef MUSTER_NODE_FANOUT_FRAME_H
#define MUSTER_NODE_FANOUT_FRAME_H

#include "node/net/chunk.h"
#include "node/proto/ws.h"
#include "store/base/span.h"

/* How a receiver takes it. */
enum frame_form {
    FRAME_WS_PLAIN,
    FRAME_WS_DEFLATED, /* where that makes it smaller */
    FRAME_FORMS
};

/* Lives on the caller's stack while a message is handed out; the chunks live on in the queues. */
struct frame {
    enum ws_kind kind;
    struct span payload; /* borrowed until frame_deinit */
    struct chunk *forms[FRAME_FORMS];
};

void frame_init(struct frame *frame, enum ws_kind kind, struct span payload);
void frame_deinit(struct frame *frame);

/* The message in that form, built on first use; borrowed until frame_deinit. */
struct chunk *frame_chunk(struct frame *frame, enum frame_form form);

#endif
