/* SPDX-License-Identifier: MIT */
#include "store/stream_sleep.h"

#include "store/base/clock.h"
#include "store/store_impl.h"
#include "store/stream_part.h"

enum {
    SLEEP_ASK_MS = 3500,      /* between two questions: the beat after that has the next one */
    SLEEP_KNOWN_MS = 15000,   /* so long an answer counts */
    SLEEP_REFUSED_MS = 60000, /* until a server is asked again that did not answer */
};

static bool all_are_on_one_server(const struct store *store)
{
    return store->backend->pulses && stream_parts(store) > 1 && !stream_may_spread(store);
}

bool stream_part_sleeps(struct store *store, unsigned part)
{
    struct stream_sleep *sleep = &store->stream.sleep;
    if (part == 0 || !all_are_on_one_server(store)) {
        return false;
    }
    sleep->wanted = true;
    return sleep->known_ms != 0 && clock_monotonic_ms() - sleep->known_ms < SLEEP_KNOWN_MS &&
           !sleep->there[part] && store->stream.parts[part].history.identity[0] == '\0';
}

static void take(struct store *store, struct span digits)
{
    struct stream_sleep *sleep = &store->stream.sleep;
    sleep->known_ms = sleep->asked_ms;
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        sleep->there[i] = digits.ptr[i] == '1';
        if (!sleep->there[i]) {
            store->stream.parts[i].entries = store->stream.parts[i].unstored = 0;
        }
    }
}

/* A server of a cluster of one refuses keys of several slots: parts are asked for one by one then. */
static void on_parts(void *arg, enum backend_answer answer, struct span reply)
{
    struct store *store = arg;
    store->stream.sleep.asking = false;
    if (answer == BACKEND_OK && reply.len == STREAM_PARTS) {
        take(store, reply);
    } else if (answer != BACKEND_LOST) {
        store->stream.sleep.asked_ms += SLEEP_REFUSED_MS;
    }
}

void stream_sleep_pulse(struct store *store)
{
    struct stream_sleep *sleep = &store->stream.sleep;
    struct backend *backend = store->backend;
    unsigned shard = stream_part_home(store, 0);
    uint64_t now = clock_monotonic_ms();
    bool due =
        sleep->asked_ms == 0 || (now > sleep->asked_ms && now - sleep->asked_ms >= SLEEP_ASK_MS);
    if (!sleep->wanted || sleep->asking || !due || !all_are_on_one_server(store) ||
        !store->shards[shard].up) {
        return;
    }
    sleep->wanted = false;
    sleep->asked_ms = now;
    sleep->asking = backend->ops->stream_parts(backend, shard, on_parts, store) == 0;
}
