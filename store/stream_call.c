/* SPDX-License-Identifier: MIT */
#include "store/stream_call.h"

#include "store/base/decimal.h"
#include "store/base/resp.h"

void stream_item_put(struct buf *items, const struct stream_item *item)
{
    resp_number(items, item->lane);
    resp_word(items, item->tag);
    resp_word(items, item->payload);
}

bool stream_item_next(struct span *rest, struct stream_item *item)
{
    struct span lane;
    uint64_t number;
    if (!resp_cut(rest, &lane) || !resp_cut(rest, &item->tag) || !resp_cut(rest, &item->payload) ||
        !decimal_read(lane, STREAM_LANES_MOST - 1, &number)) {
        return false;
    }
    item->lane = (unsigned)number;
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
    bool good = decimal_cut(&text, ' ', &answer->last) && decimal_cut(&text, ' ', &answer->known) &&
                decimal_cut(&text, ' ', &answer->stored);
    answer->before = span_eq(state, SPAN("="));
    answer->done = answer->before || span_eq(state, SPAN("+"));
    answer->outcomes = text;
    return good && (answer->done || span_eq(state, SPAN("-"))) ? 0 : -1;
}
