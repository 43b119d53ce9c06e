/* SPDX-License-Identifier: MIT */
#include "store/stream_whole.h"

#include "store/base/mem.h"

struct stream_whole {
    stream_append_fn *fn;
    void *arg;
    unsigned refs;
    unsigned open; /* shares that are not concluded */
    struct stream_result result;
};

struct stream_whole *stream_whole_new(stream_append_fn *fn, void *arg)
{
    struct stream_whole *whole = mem_zalloc(sizeof(*whole));
    whole->fn = fn;
    whole->arg = arg;
    whole->refs = 1;
    return whole;
}

struct stream_whole *stream_whole_share(struct stream_whole *whole)
{
    whole->refs++;
    whole->open++;
    return whole;
}

void stream_whole_note(struct stream_whole *whole, uint64_t lanes, enum stream_outcome outcome)
{
    struct stream_result *result = &whole->result;
    result->outcome = outcome > result->outcome ? outcome : result->outcome;
    result->stored |= outcome == STREAM_STORED ? lanes : 0;
    result->refused |= outcome == STREAM_FULL || outcome == STREAM_REFUSED ? lanes : 0;
}

void stream_whole_conclude(struct stream_whole *whole, uint64_t lanes, enum stream_outcome outcome,
                           bool tell)
{
    stream_whole_note(whole, lanes, outcome);
    if (--whole->open == 0 && tell) {
        whole->fn(whole->arg, &whole->result);
    }
    stream_whole_unref(whole);
}

void stream_whole_unref(struct stream_whole *whole)
{
    if (whole != NULL && --whole->refs == 0) {
        free(whole);
    }
}
