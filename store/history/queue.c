/* SPDX-License-Identifier: MIT */
#include "store/base/clock.h"
#include "store/history/impl.h"
#include "store/history/note.h"

enum {
    BATCH_MOST = 64,
    BATCH_BYTES = 256 * 1024,
    HISTORY_QUEUE_QUEUE_MOST = 4096,
    HISTORY_QUEUE_QUEUE_BYTES = 8 * 1024 * 1024,
    CONFIRMED_MOST = 4096,
    READS_MOST = 4096,
};

/* For how long what was confirmed is kept, to be sent again when the link falls: longer than a
 * server that stands still is believed in. */
static const uint64_t confirmed_us = 10 * 1000000;

struct history_pending {
    struct list entry;
    uint64_t sequence;
    uint32_t most;
    uint64_t until_us;   /* given up then; once confirmed: forgotten then */
    history_done_fn *fn; /* NULL: told already */
    void *arg;
    uint64_t tag;
    size_t len;
    char value[];
};

struct history_read {
    struct list entry;
    struct history_key *key;
    uint32_t offset, limit;
    history_read_fn *fn;
    void *arg;
    uint64_t tag;
};

static struct history_pending *pending_of(struct list *link)
{
    return LIST_ITEM(link, struct history_pending, entry);
}

void history_queue_init(struct history_key *key)
{
    list_init(&key->waiting);
    list_init(&key->sent);
    list_init(&key->confirmed);
    list_init(&key->reads);
    /* Growing over the lives of this process too, should it keep its name. */
    key->sequence = clock_unix_ms() * 1000;
}

static void free_all(struct list *list)
{
    while (!list_empty(list)) {
        struct history_pending *pending = pending_of(list->next);
        list_del(&pending->entry);
        free(pending);
    }
}

void history_queue_free(struct history_key *key)
{
    free_all(&key->waiting);
    free_all(&key->sent);
    free_all(&key->confirmed);
    while (!list_empty(&key->reads)) {
        struct history_read *read = LIST_ITEM(key->reads.next, struct history_read, entry);
        list_del(&read->entry);
        free(read);
    }
}

static void tell(const struct history_key *key, struct history_pending *pending, bool done)
{
    history_done_fn *fn = pending->fn;
    pending->fn = NULL;
    if (fn != NULL && !key->store->closing) {
        fn(pending->arg, pending->tag, done);
    }
}

/* ---------------------------------------------------------------------------------- appends */

int history_append(struct store *store, const struct history_append *append)
{
    struct history_key *key = history_key_get(store, append->key);
    if (key->count >= HISTORY_QUEUE_QUEUE_MOST ||
        key->bytes + append->value.len > HISTORY_QUEUE_QUEUE_BYTES ||
        append->value.len > HISTORY_VALUE_MOST) {
        return -1;
    }
    struct history_pending *pending = mem_zalloc(sizeof(*pending) + append->value.len);
    pending->sequence = ++key->sequence;
    pending->most = append->most;
    pending->until_us = clock_monotonic_us() + (uint64_t)append->wait_ms * 1000;
    pending->fn = append->fn;
    pending->arg = append->arg;
    pending->tag = append->tag;
    pending->len = append->value.len;
    if (pending->len > 0) {
        memcpy(pending->value, append->value.ptr, pending->len);
    }
    list_push_back(&key->waiting, &pending->entry);
    key->count++;
    key->bytes += pending->len;
    history_key_kick(key);
    history_tick_start(store);
    return 0;
}

static void take_back(struct history_key *key)
{
    struct list again;
    list_init(&again);
    list_splice(&again, &key->sent);
    list_splice(&again, &key->waiting);
    list_splice(&key->waiting, &again);
}

static void leave_queue(struct history_key *key, struct history_pending *pending)
{
    list_del(&pending->entry);
    key->count--;
    key->bytes -= pending->len;
}

/* `done`: it counts; else too few replicas have it, and it is heard all the same. */
static void confirm(struct history_key *key, bool done)
{
    struct list answered;
    list_init(&answered);
    list_splice(&answered, &key->sent);
    while (!list_empty(&answered)) {
        struct history_pending *pending = pending_of(answered.next);
        leave_queue(key, pending);
        pending->until_us = clock_monotonic_us() + confirmed_us;
        list_push_back(&key->confirmed, &pending->entry);
        tell(key, pending, done);
    }
}

static void on_replicated(void *arg, enum backend_answer answer, struct span reply)
{
    struct history_key *key = arg;
    (void)reply;
    key->appending = false;
    if (answer == BACKEND_LOST) {
        take_back(key);
    } else {
        confirm(key, answer == BACKEND_OK);
    }
    history_key_kick(key);
}

static void on_appended(void *arg, enum backend_answer answer, struct span reply)
{
    struct history_key *key = arg;
    (void)reply;
    struct backend *backend = key->store->backend;
    if (answer == BACKEND_OK && key->store->replicas > 0 &&
        backend->ops->replicated(backend, key->shard, on_replicated, key) == 0) {
        return;
    }
    key->appending = false;
    if (answer == BACKEND_OK && key->store->replicas == 0) {
        confirm(key, true);
    } else {
        take_back(key);
        key->refused = answer == BACKEND_REFUSED;
    }
    history_key_kick(key);
}

/* Batches go one at a time: so a repeated one can never pass a later one. */
static void send_batch(struct history_key *key)
{
    struct history_item items[BATCH_MOST];
    struct history_call call = {
        .verb = HISTORY_APPEND,
        .key = map_key(&key->node),
        .channel = span_str(key->channel),
        .writer = span_str(key->store->node),
        .most = 1,
        .items = items,
    };
    size_t bytes = 0;
    LIST_EACH(it, &key->waiting) {
        struct history_pending *pending = pending_of(it);
        if (call.count == BATCH_MOST || bytes + pending->len > BATCH_BYTES) {
            break;
        }
        items[call.count++] =
            (struct history_item){pending->sequence, span_of(pending->value, pending->len)};
        bytes += pending->len;
        call.most = pending->most;
        list_del(it);
        list_push_back(&key->sent, it);
    }
    struct backend *backend = key->store->backend;
    key->appending = backend->ops->history(backend, key->shard, &call, on_appended, key) == 0;
    if (!key->appending) {
        take_back(key);
    }
}

static void on_read(void *arg, enum backend_answer answer, struct span reply)
{
    struct history_read *read = arg;
    struct history_note note = {0};
    bool ok = answer == BACKEND_OK && history_note_read(reply, &note) == 0;
    read->key->read_count--;
    if (!read->key->store->closing) {
        read->fn(read->arg, read->tag, ok, note.records);
    }
    free(read);
}

void history_queue_link_down(struct history_key *key)
{
    struct list again;
    list_init(&again);
    LIST_EACH(it, &key->confirmed) { /* however long the server is away */
        pending_of(it)->until_us = UINT64_MAX;
        key->count++;
        key->bytes += pending_of(it)->len;
    }
    list_splice(&again, &key->confirmed);
    list_splice(&again, &key->sent);
    list_splice(&again, &key->waiting);
    list_splice(&key->waiting, &again);
    struct list reads;
    list_init(&reads);
    list_splice(&reads, &key->reads);
    while (!list_empty(&reads)) {
        struct history_read *read = LIST_ITEM(reads.next, struct history_read, entry);
        list_del(&read->entry);
        on_read(read, BACKEND_LOST, span_of(NULL, 0));
    }
}

void history_queue_link_up(struct history_key *key)
{
    LIST_EACH(it, &key->waiting) {
        struct history_pending *pending = pending_of(it);
        if (pending->until_us == UINT64_MAX) {
            pending->until_us = clock_monotonic_us() + confirmed_us;
        }
    }
}

static void forget_confirmed(struct history_key *key, uint64_t now_us)
{
    size_t left = 0;
    for (struct list *it = key->confirmed.prev; it != &key->confirmed;) {
        struct history_pending *pending = pending_of(it);
        it = it->prev;
        if (pending->until_us <= now_us || left >= CONFIRMED_MOST) {
            list_del(&pending->entry);
            free(pending);
        } else {
            left++;
        }
    }
}

bool history_queue_tick(struct history_key *key, uint64_t now_us)
{
    forget_confirmed(key, now_us);
    struct list late;
    list_init(&late);
    LIST_EACH(it, &key->waiting) {
        struct history_pending *pending = pending_of(it);
        if (pending->until_us <= now_us) {
            leave_queue(key, pending);
            list_push_back(&late, it);
        }
    }
    while (!list_empty(&late)) {
        struct history_pending *pending = pending_of(late.next);
        list_del(&pending->entry);
        tell(key, pending, false);
        free(pending);
    }
    return !list_empty(&key->waiting) || !list_empty(&key->sent) || !list_empty(&key->confirmed);
}

/* ------------------------------------------------------------------------------------ reads */

int history_read(struct store *store, struct span name, uint32_t offset, uint32_t limit,
                 history_read_fn *fn, void *arg, uint64_t tag)
{
    struct history_key *key = history_key_get(store, name);
    if (!history_key_up(key) || key->read_count >= READS_MOST) {
        return -1;
    }
    key->read_count++;
    struct history_read *read = mem_zalloc(sizeof(*read));
    read->key = key;
    read->offset = offset;
    read->limit = limit < HISTORY_READ_MOST ? limit : HISTORY_READ_MOST;
    read->fn = fn;
    read->arg = arg;
    read->tag = tag;
    list_push_back(&key->reads, &read->entry);
    history_key_kick(key);
    return 0;
}

static void send_reads(struct history_key *key)
{
    struct backend *backend = key->store->backend;
    while (!list_empty(&key->reads)) {
        struct history_read *read = LIST_ITEM(key->reads.next, struct history_read, entry);
        struct history_call call = {
            .verb = HISTORY_NEWEST,
            .key = map_key(&key->node),
            .offset = read->offset,
            .limit = read->limit,
        };
        list_del(&read->entry);
        if (backend->ops->history(backend, key->shard, &call, on_read, read) != 0) {
            on_read(read, BACKEND_LOST, span_of(NULL, 0));
        }
    }
}

/* What this store itself appends comes after the place from which its watches follow. */
static bool may_append(const struct history_key *key)
{
    return !key->appending && !key->refused && (!history_key_watched(key) || key->positioned);
}

void history_queue_run(struct history_key *key)
{
    if (!history_key_up(key)) {
        return;
    }
    if (!list_empty(&key->waiting) && may_append(key)) {
        send_batch(key);
    }
    if (list_empty(&key->waiting)) {
        send_reads(key); /* behind the appends: they show them */
    }
}
