/* SPDX-License-Identifier: MIT */
#include "store/stream_call.h"

#include "store/base/decimal.h"

void stream_item_put(struct buf *items, const struct stream_item *item)
{
    uint32_t head[3] = {item->lane, (uint32_t)item->tag.len, (uint32_t)item->payload.len};
    buf_append(items, span_of(head, sizeof(head)));
    buf_append(items, item->tag);
    buf_append(items, item->payload);
}

bool stream_item_next(struct span *rest, struct stream_item *item)
{
    uint32_t head[3];
    if (rest->len < sizeof(head)) {
        return false;
    }
    memcpy(head, rest->ptr, sizeof(head));
    item->lane = head[0];
    item->tag = span_of(rest->ptr + sizeof(head), head[1]);
    item->payload = span_of(item->tag.ptr + head[1], head[2]);
    *rest = span_skip(*rest, sizeof(head) + head[1] + head[2]);
    return true;
}

void stream_name_set(char name[STREAM_NAME], struct span text)
{
    size_t len = text.len < STREAM_NAME ? text.len : STREAM_NAME - 1;
    if (len > 0) {
        memcpy(name, text.ptr, len);
    }
    name[len] = '\0';
}

void stream_history_cut(struct span *rest, struct stream_history *history)
{
    stream_name_set(history->identity, span_cut(rest, ' '));
    stream_name_set(history->timeline, span_cut(rest, ' '));
}

int stream_answer_read(struct span text, struct stream_answer *answer)
{
    struct span state = span_cut(&text, ' ');
    stream_history_cut(&text, &answer->history);
    bool good = decimal_cut(&text, ' ', &answer->last) && decimal_cut(&text, ' ', &answer->known);
    answer->before = span_eq(state, SPAN("="));
    answer->done = answer->before || span_eq(state, SPAN("+"));
    answer->outcomes = text;
    return good && (answer->done || span_eq(state, SPAN("-"))) ? 0 : -1;
}
