/* SPDX-License-Identifier: MIT */
#include "store/history/history.h"

#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/history/impl.h"
#include "store/history/note.h"

enum {
    HISTORY_TICK_MS = 250,
};

static void run(struct chore *chore)
{
    struct history_key *key = CONTAINER_OF(chore, struct history_key, watches.chore);
    history_watch_run(key);
    history_queue_run(key);
}

static struct history_key *key_new(struct store *store, struct span key, struct span name)
{
    struct history_key *made = mem_zalloc(sizeof(*made) + name.len);
    struct buf channel = {0};
    made->store = store;
    made->shard = store_shard(store, key);
    watchers_init(&made->watches, store, run);
    memcpy(made->name, name.ptr, name.len);
    partition_key(&channel, store->prefix, "n", key);
    made->channel = mem_dup(buf_span(&channel));
    buf_free(&channel);
    history_queue_init(made);
    history_watch_init(made);
    map_insert(&store->history.keys, &made->node, span_of(made->name, name.len));
    return made;
}

struct history_key *history_key_get(struct store *store, struct span key)
{
    struct buf name = {0};
    partition_key(&name, store->prefix, "h", key);
    struct map_node *node = map_find(&store->history.keys, buf_span(&name));
    struct history_key *found = node != NULL ? MAP_ENTRY(node, struct history_key, node)
                                             : key_new(store, key, buf_span(&name));
    buf_free(&name);
    return found;
}

struct history_watch *history_watch(struct store *store, struct span key, history_fn *fn, void *arg)
{
    struct history_watch *watch = mem_zalloc(sizeof(*watch));
    watch->fn = fn;
    watch->arg = arg;
    watch->owed = true;
    watchers_join(&history_key_get(store, key)->watches, &watch->watcher);
    return watch;
}

void history_unwatch(struct history_watch **watch)
{
    if (watch == NULL || *watch == NULL) {
        return;
    }
    watchers_leave(&(*watch)->watcher);
    *watch = NULL;
}

bool history_next(struct span *entries, struct history_entry *entry)
{
    struct history_record record;
    if (!history_note_next(entries, &record)) {
        return false;
    }
    *entry = (struct history_entry){.id = record.id, .value = record.value};
    return true;
}

void history_on_link(struct store *store, const struct shard_set *which, bool up)
{
    MAP_EACH(it, &store->history.keys) {
        struct history_key *key = MAP_ENTRY(it, struct history_key, node);
        if (!shard_set_has(which, key->shard)) {
            continue;
        }
        if (!up) {
            history_queue_link_down(key);
            history_watch_link_down(key);
        } else {
            history_queue_link_up(key);
        }
        history_key_kick(key);
    }
}

void history_on_owner(struct store *store)
{
    MAP_EACH(it, &store->history.keys) {
        struct history_key *key = MAP_ENTRY(it, struct history_key, node);
        unsigned shard = store_key_shard(store, map_key(it));
        if (shard != key->shard) {
            history_queue_link_down(key);
            history_watch_link_down(key);
            key->shard = shard;
            if (history_key_up(key)) {
                history_queue_link_up(key);
            }
            history_key_kick(key);
        }
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct store *store = arg;
    uint64_t now = clock_monotonic_us();
    bool busy = false;
    (void)fd, (void)what;
    store_enter(store);
    MAP_EACH(it, &store->history.keys) {
        struct history_key *key = MAP_ENTRY(it, struct history_key, node);
        key->refused = false;
        history_key_kick(key);
        busy |= history_queue_tick(key, now) | key->behind;
    }
    if (busy) {
        history_tick_start(store);
    }
    store_leave(store);
}

void history_tick_start(struct store *store)
{
    if (!evtimer_pending(store->history.tick, NULL)) {
        timer_after(store->history.tick, HISTORY_TICK_MS);
    }
}

void history_init(struct store *store)
{
    map_init(&store->history.keys);
    store->history.tick = evtimer_new(store->base, on_tick, store);
}

void history_deinit(struct store *store)
{
    MAP_EACH(it, &store->history.keys) {
        struct history_key *key = MAP_ENTRY(it, struct history_key, node);
        history_queue_free(key);
        history_watch_free(key);
        watchers_deinit(&key->watches);
        map_remove(&store->history.keys, it);
        free(key->channel);
        free(key);
    }
    map_deinit(&store->history.keys);
    event_free(store->history.tick);
}
