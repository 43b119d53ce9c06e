/* SPDX-License-Identifier: MIT */
/* The questions of stream.h: reads of lanes, and how the stream is. */
#include "store/base/decimal.h"
#include "store/base/entropy.h"
#include "store/store_impl.h"
#include "store/stream_call.h"
#include "store/stream_impl.h"

#include <assert.h>

/* ------------------------------------------------------------------------------------ reading */

/* What waits for an answer stands in the table's list of questions, and goes with the store. */
struct reading {
    struct list entry;
    struct store *store;
    stream_read_fn *fn;
    void *arg;
};

static void on_entries(void *arg, bool ok, const struct stream_head *head,
                       const struct stream_entry *entries, size_t count)
{
    struct reading *reading = arg;
    if (!reading->store->closing) {
        reading->fn(reading->arg, ok, head, entries, count);
    }
    list_del(&reading->entry);
    free(reading);
}

static int read_query(struct store *store, const struct stream_query *query, stream_read_fn *fn,
                      void *arg)
{
    unsigned shard = stream_home(store);
    struct reading *reading = mem_zalloc(sizeof(*reading));
    *reading = (struct reading){.store = store, .fn = fn, .arg = arg};
    list_push_back(&store->stream.questions, &reading->entry);
    if (!store->shards[shard].up ||
        store->backend->ops->stream_read(store->backend, shard, query, on_entries, reading) != 0) {
        list_del(&reading->entry);
        free(reading);
        return -1;
    }
    return 0;
}

int stream_read(struct store *store, const struct stream_from *from, size_t lanes, size_t most,
                stream_read_fn *fn, void *arg)
{
    struct stream_query query = {from, lanes, most, false};
    return read_query(store, &query, fn, arg);
}

int stream_read_back(struct store *store, unsigned lane, uint64_t last, size_t most,
                     stream_read_fn *fn, void *arg)
{
    struct stream_from from = {lane, last};
    struct stream_query query = {&from, 1, most, true};
    return read_query(store, &query, fn, arg);
}

/* ------------------------------------------------------------------------------------ the state */

struct asking {
    struct list entry;
    struct store *store;
    stream_state_fn *fn;
    void *arg;
};

static uint64_t cut_number(struct span *rest)
{
    uint64_t number;
    return decimal_read(span_cut(rest, ' '), UINT64_MAX, &number) ? number : 0;
}

/* Gives, besides, the seq up to which sinks have all. */
static uint64_t read_state(struct span text, struct stream_state *state)
{
    struct span line = span_cut(&text, '\n');
    stream_history_cut(&line, &state->head.history);
    state->head.was = span_cut(&line, ' ');
    state->last = cut_number(&line);
    uint64_t lanes = cut_number(&line);
    state->lanes = lanes < STREAM_LANES_MOST ? (unsigned)lanes : STREAM_LANES_MOST;
    state->entries = cut_number(&line);
    uint64_t stored = cut_number(&line);
    for (unsigned i = 0; i < state->lanes; i++) {
        state->unstored[i] = cut_number(&line);
    }
    state->head.forks = span_cut(&text, '\n');
    state->writers = text;
    return stored;
}

bool stream_next_writer(struct span *writers, struct span *node, uint64_t *call)
{
    struct span line = span_cut(writers, '\n');
    bool good = decimal_cut(&line, ' ', call);
    *node = line;
    return good;
}

static void on_state(void *arg, enum backend_answer answer, struct span reply)
{
    struct asking *asking = arg;
    struct stream_state state = {0};
    if (!asking->store->closing) {
        uint64_t stored = read_state(reply, &state);
        if (answer == BACKEND_OK) {
            stream_on_state(asking->store, &state.head.history, stored);
        }
        asking->fn(asking->arg, answer == BACKEND_OK ? &state : NULL);
    }
    list_del(&asking->entry);
    free(asking);
}

int stream_state(struct store *store, const struct stream_ask *ask, stream_state_fn *fn, void *arg)
{
    unsigned shard = stream_home(store);
    char fresh[STREAM_IDENTITY_DIGITS + 1];
    struct asking *asking = mem_zalloc(sizeof(*asking));
    entropy_hex(fresh, STREAM_IDENTITY_DIGITS);
    struct stream_marks call = {ask, span_str(fresh)};
    *asking = (struct asking){.store = store, .fn = fn, .arg = arg};
    list_push_back(&store->stream.questions, &asking->entry);
    if (!store->shards[shard].up ||
        store->backend->ops->stream_state(store->backend, shard, &call, on_state, asking) != 0) {
        list_del(&asking->entry);
        free(asking);
        return -1;
    }
    return 0;
}

void stream_questions_free(struct store *store)
{
    struct list *questions = &store->stream.questions;
    while (!list_empty(questions)) {
        /* A reading or an asking: of both it is the first member. */
        static_assert(offsetof(struct reading, entry) == 0, "freed by its list entry");
        static_assert(offsetof(struct asking, entry) == 0, "freed by its list entry");
        struct list *first = questions->next;
        list_del(first);
        free(first);
    }
}
