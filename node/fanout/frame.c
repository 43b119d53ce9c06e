#include "node/fanout/frame.h"

void frame_init(struct frame *frame, enum ws_kind kind, struct span payload)
{
    *frame = (struct frame){.kind = kind, .payload = payload};
}

void frame_deinit(struct frame *frame)
{
    for (int i = 0; i < FRAME_FORMS; i++) {
        chunk_unref(frame->forms[i]);
        frame->forms[i] = NULL;
    }
}

static struct chunk *build(struct frame *frame, enum frame_form form)
{
    struct chunk *chunk = NULL;
    if (form == FRAME_WS_DEFLATED && frame->payload.len >= WS_DEFLATE_FROM) {
        chunk = ws_frame_deflated(frame->kind, frame->payload);
    }
    if (chunk == NULL && form == FRAME_WS_DEFLATED) {
        chunk = chunk_ref(frame_chunk(frame, FRAME_WS_PLAIN));
    }
    return chunk != NULL ? chunk : ws_frame(frame->kind, frame->payload);
}

struct chunk *frame_chunk(struct frame *frame, enum frame_form form)
{
    if (frame->forms[form] == NULL) {
        frame->forms[form] = build(frame, form);
    }
    return frame->forms[form];
}
