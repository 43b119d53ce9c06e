/* SPDX-License-Identifier: MIT */
/* The questions of stream_read.h: reads of lanes, and how a part is; and how all of them are. */
#include "store/base/decimal.h"
#include "store/base/entropy.h"
#include "store/store_impl.h"
#include "store/stream_call.h"
#include "store/stream_impl.h"
#include "store/stream_part.h"
#include "store/stream_read.h"
#include "store/stream_sender.h"
#include "store/stream_sleep.h"

#include <assert.h>

bool stream_reached(const struct store *store, unsigned part)
{
    return store->backend->ops->ready(store->backend, stream_part_home(store, part));
}

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
    unsigned shard = stream_part_home(store, query->part);
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

int stream_read(struct store *store, unsigned part, const struct stream_from *from, size_t lanes,
                size_t most, stream_read_fn *fn, void *arg)
{
    struct stream_query query = {part, from, lanes, most, false};
    return read_query(store, &query, fn, arg);
}

int stream_read_back(struct store *store, unsigned part, unsigned lane, uint64_t last, size_t most,
                     stream_read_fn *fn, void *arg)
{
    struct stream_from from = {lane, last};
    struct stream_query query = {part, &from, 1, most, true};
    return read_query(store, &query, fn, arg);
}

/* ------------------------------------------------------------------------------------ the state */

struct asking {
    struct list entry;
    struct store *store;
    unsigned part;
    stream_state_fn *fn;
    void *arg;
};

static uint64_t cut_number(struct span *rest)
{
    uint64_t number;
    return decimal_read(span_cut(rest, ' '), UINT64_MAX, &number) ? number : 0;
}

/* Gives, besides, the seq up to which sinks have all. */
static uint64_t read_state(struct span text, unsigned part, struct stream_state *state)
{
    struct span line = span_cut(&text, '\n');
    stream_history_cut(&line, &state->head.history);
    state->head.was = span_cut(&line, ' ');
    state->last = cut_number(&line);
    uint64_t lanes = cut_number(&line);
    state->lanes = lanes < STREAM_LANES_MOST ? (unsigned)lanes : STREAM_LANES_MOST;
    state->entries = cut_number(&line);
    uint64_t stored = cut_number(&line);
    for (unsigned i = part; i < state->lanes; i += stream_part_step(part)) {
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

static void note_depth(struct stream_table *table, const struct stream_state *state)
{
    table->entries = state->entries;
    table->unstored = 0;
    for (unsigned i = 0; i < state->lanes; i++) {
        table->unstored += state->unstored[i];
    }
}

static void on_state(void *arg, enum backend_answer answer, struct span reply)
{
    struct asking *asking = arg;
    struct stream_state state = {0};
    if (!asking->store->closing) {
        uint64_t stored = read_state(reply, asking->part, &state);
        if (answer == BACKEND_OK) {
            note_depth(&asking->store->stream.parts[asking->part], &state);
            stream_sender_on_state(&asking->store->stream.parts[asking->part], &state.head.history,
                                   stored);
        }
        asking->fn(asking->arg, answer == BACKEND_OK ? &state : NULL);
    }
    list_del(&asking->entry);
    free(asking);
}

int stream_state(struct store *store, unsigned part, const struct stream_ask *ask,
                 stream_state_fn *fn, void *arg)
{
    unsigned shard = stream_part_home(store, part);
    char fresh[STREAM_IDENTITY_DIGITS + 1];
    struct asking *asking = mem_zalloc(sizeof(*asking));
    entropy_hex(fresh, STREAM_IDENTITY_DIGITS);
    struct stream_marks call = {part, ask, span_str(fresh)};
    *asking = (struct asking){.store = store, .part = part, .fn = fn, .arg = arg};
    list_push_back(&store->stream.questions, &asking->entry);
    if (!store->shards[shard].up ||
        store->backend->ops->stream_state(store->backend, shard, &call, on_state, asking) != 0) {
        list_del(&asking->entry);
        free(asking);
        return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ all parts */

struct sounding {
    struct list entry;
    struct store *store;
    stream_depth_fn *fn;
    void *arg;
    unsigned left; /* parts that have not answered */
    bool some;     /* one did */
};

/* Of a part that does not answer, what was known stands until it is back. */
static void on_sounded(void *arg, const struct stream_state *state)
{
    struct sounding *sounding = arg;
    struct stream_depth depth = {0};
    sounding->some = sounding->some || state != NULL;
    if (--sounding->left > 0) {
        return;
    }
    for (unsigned i = 0; i < stream_parts(sounding->store); i++) {
        depth.entries += sounding->store->stream.parts[i].entries;
        depth.unstored += sounding->store->stream.parts[i].unstored;
    }
    sounding->fn(sounding->arg, sounding->some ? &depth : NULL);
    list_del(&sounding->entry);
    free(sounding);
}

int stream_depth(struct store *store, stream_depth_fn *fn, void *arg)
{
    struct sounding *sounding = mem_zalloc(sizeof(*sounding));
    *sounding = (struct sounding){.store = store, .fn = fn, .arg = arg};
    list_push_back(&store->stream.questions, &sounding->entry);
    for (unsigned i = 0; i < stream_parts(store); i++) {
        sounding->left +=
            !stream_part_sleeps(store, i) &&
            stream_state(store, i, &(struct stream_ask){0}, on_sounded, sounding) == 0;
    }
    if (sounding->left == 0) {
        list_del(&sounding->entry);
        free(sounding);
        return -1;
    }
    return 0;
}

void stream_questions_free(struct store *store)
{
    struct list *questions = &store->stream.questions;
    while (!list_empty(questions)) {
        /* A reading, an asking or a sounding: of all it is the first member. */
        static_assert(offsetof(struct reading, entry) == 0, "freed by its list entry");
        static_assert(offsetof(struct asking, entry) == 0, "freed by its list entry");
        static_assert(offsetof(struct sounding, entry) == 0, "freed by its list entry");
        struct list *first = questions->next;
        list_del(first);
        free(first);
    }
}
