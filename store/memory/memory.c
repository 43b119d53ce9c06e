/* SPDX-License-Identifier: MIT */
/* The memory backend: stores of one process meet in a hub, as nodes meet in Redis. What the hub
 * does is done at once; what a store hears of it waits in its inbox for the next turn. */
#include "store/memory/memory.h"
#include "store/backend.h"
#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/memory/history.h"
#include "store/memory/lookup.h"
#include "store/memory/roster.h"
#include "store/memory/stream.h"
#include "store/store_impl.h"

struct memory_hub {
    struct map channels;
    struct memory_rosters rosters;
    struct memory_streams streams;
    struct memory_lookups lookups;
    struct memory_histories histories;
};

struct hub_channel {
    struct map_node node;
    struct list ears;
    char name[];
};

/* One store hears one channel. */
struct ear {
    struct list entry; /* in the channel */
    struct list mine;  /* in the store */
    struct memory *memory;
    struct hub_channel *channel;
};

struct memory {
    struct backend backend;
    struct memory_hub *hub;
    bool own_hub;
    struct list ears;
    struct list inbox;
    struct event *wake;
};

enum letter_kind {
    LETTER_HEARD,
    LETTER_LEFT,
    LETTER_MESSAGE,
    LETTER_ANSWER,
    LETTER_LOOKUP,
    LETTER_READ,
    LETTER_PROOF,
};

struct letter {
    struct list entry;
    enum letter_kind kind;
    backend_answer_fn *fn;
    void *arg;
    enum lookup_result result;    /* LOOKUP: of the call in `arg` */
    struct span channel, payload; /* both in `bytes` */
    char bytes[];
};

struct memory_hub *memory_hub_new(void)
{
    struct memory_hub *hub = mem_zalloc(sizeof(*hub));
    map_init(&hub->channels);
    memory_rosters_init(&hub->rosters);
    memory_streams_init(&hub->streams);
    memory_lookups_init(&hub->lookups);
    memory_histories_init(&hub->histories);
    return hub;
}

void memory_hub_free(struct memory_hub **hub)
{
    if (hub == NULL || *hub == NULL) {
        return;
    }
    map_deinit(&(*hub)->channels); /* empty: every store is closed */
    memory_rosters_deinit(&(*hub)->rosters);
    memory_streams_deinit(&(*hub)->streams);
    memory_lookups_deinit(&(*hub)->lookups);
    memory_histories_deinit(&(*hub)->histories);
    free(*hub);
    *hub = NULL;
}

static struct letter *post(struct memory *memory, enum letter_kind kind, struct span channel,
                           struct span payload)
{
    struct letter *letter = mem_zalloc(sizeof(*letter) + channel.len + payload.len);
    letter->kind = kind;
    letter->channel = span_of(letter->bytes, channel.len);
    letter->payload = span_of(letter->bytes + channel.len, payload.len);
    if (channel.len > 0) {
        memcpy(letter->bytes, channel.ptr, channel.len);
    }
    if (payload.len > 0) {
        memcpy(letter->bytes + channel.len, payload.ptr, payload.len);
    }
    list_push_back(&memory->inbox, &letter->entry);
    if (!evtimer_pending(memory->wake, NULL)) {
        timer_after(memory->wake, 0);
    }
    return letter;
}

/* What a read asks for, kept in its letter until it is carried out. */
struct read_request {
    stream_read_fn *fn;
    struct stream_query query; /* `from` is in the letter's payload */
};

static void carry_out_read(struct memory *memory, const struct letter *letter)
{
    struct read_request request;
    struct stream_from from[STREAM_LANES_MOST];
    memcpy(&request, letter->channel.ptr, sizeof(request));
    memcpy(from, letter->payload.ptr, letter->payload.len);
    request.query.from = from;
    memory_stream_read(&memory->hub->streams, &request.query, request.fn, letter->arg);
}

static void carry_out_proof(struct store *store, const struct letter *letter)
{
    struct shard_set only = shard_set_one(0);
    uint64_t asked_us;
    memcpy(&asked_us, letter->payload.ptr, sizeof(asked_us));
    store_on_proof(store, &only, asked_us);
}

static void open_letter(struct store *store, const struct letter *letter)
{
    switch (letter->kind) {
    case LETTER_HEARD:
    case LETTER_LEFT:
        bus_on_channel(store, letter->channel, letter->kind == LETTER_HEARD);
        break;
    case LETTER_MESSAGE:
        bus_on_message(store, letter->channel, letter->payload);
        break;
    case LETTER_ANSWER:
        letter->fn(letter->arg, BACKEND_OK, letter->payload);
        break;
    case LETTER_READ:
        carry_out_read(CONTAINER_OF(store->backend, struct memory, backend), letter);
        break;
    case LETTER_PROOF:
        carry_out_proof(store, letter);
        break;
    case LETTER_LOOKUP:
        lookup_finish(letter->arg, letter->result, letter->payload);
        break;
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct memory *memory = arg;
    struct store *store = memory->backend.store;
    struct list letters;
    (void)fd, (void)what;
    store_enter(store);
    if (!store->shards[0].up) {
        struct shard_set only = shard_set_one(0);
        store_on_link(store, &only, true, "memory");
    }
    list_init(&letters);
    list_splice(&letters, &memory->inbox);
    while (!list_empty(&letters)) {
        struct letter *letter = LIST_ITEM(letters.next, struct letter, entry);
        list_del(&letter->entry);
        open_letter(store, letter);
        free(letter);
    }
    store_leave(store);
}

static struct hub_channel *channel_get(struct memory_hub *hub, struct span name)
{
    struct map_node *node = map_find(&hub->channels, name);
    if (node != NULL) {
        return MAP_ENTRY(node, struct hub_channel, node);
    }
    struct hub_channel *channel = mem_zalloc(sizeof(*channel) + name.len);
    memcpy(channel->name, name.ptr, name.len);
    list_init(&channel->ears);
    map_insert(&hub->channels, &channel->node, span_of(channel->name, name.len));
    return channel;
}

static void ear_free(struct ear *ear)
{
    struct hub_channel *channel = ear->channel;
    list_del(&ear->entry);
    list_del(&ear->mine);
    if (list_empty(&channel->ears)) {
        map_remove(&ear->memory->hub->channels, &channel->node);
        free(channel);
    }
    free(ear);
}

static void memory_subscribe(struct backend *backend, unsigned shard, const struct span *channels,
                             size_t count)
{
    struct memory *memory = CONTAINER_OF(backend, struct memory, backend);
    (void)shard;
    for (size_t i = 0; i < count; i++) {
        struct ear *ear = mem_zalloc(sizeof(*ear));
        ear->memory = memory;
        ear->channel = channel_get(memory->hub, channels[i]);
        list_push_back(&ear->channel->ears, &ear->entry);
        list_push_back(&memory->ears, &ear->mine);
        post(memory, LETTER_HEARD, channels[i], span_of(NULL, 0));
    }
}

static void memory_unsubscribe(struct backend *backend, unsigned shard, const struct span *channels,
                               size_t count)
{
    struct memory *memory = CONTAINER_OF(backend, struct memory, backend);
    (void)shard;
    for (size_t i = 0; i < count; i++) {
        struct hub_channel *channel = channel_get(memory->hub, channels[i]);
        struct ear *mine = NULL;
        LIST_EACH(it, &channel->ears) {
            struct ear *ear = LIST_ITEM(it, struct ear, entry);
            mine = ear->memory == memory ? ear : mine;
        }
        post(memory, LETTER_LEFT, channels[i], span_of(NULL, 0));
        if (mine != NULL) {
            ear_free(mine);
        }
    }
}

static void hub_publish(struct memory_hub *hub, struct span channel_name, struct span payload)
{
    struct map_node *node = map_find(&hub->channels, channel_name);
    if (node != NULL) {
        LIST_EACH(it, &MAP_ENTRY(node, struct hub_channel, node)->ears) {
            post(LIST_ITEM(it, struct ear, entry)->memory, LETTER_MESSAGE, channel_name, payload);
        }
    }
}

static int memory_publish(struct backend *backend, unsigned shard, struct span channel,
                          struct span head, struct span payload, bool quiet)
{
    struct memory *memory = CONTAINER_OF(backend, struct memory, backend);
    struct buf whole = {0};
    (void)shard, (void)quiet;
    buf_append(&whole, head);
    buf_append(&whole, payload);
    hub_publish(memory->hub, channel, buf_span(&whole));
    buf_free(&whole);
    return 0;
}

/* Behind all that this store is to hear. */
static void memory_prove(struct backend *backend, unsigned shard)
{
    struct memory *memory = CONTAINER_OF(backend, struct memory, backend);
    uint64_t now = clock_monotonic_us();
    (void)shard;
    post(memory, LETTER_PROOF, span_of(NULL, 0), span_of(&now, sizeof(now)));
}

/* `answer` is freed. */
static void post_answer(struct memory *memory, struct buf *answer, backend_answer_fn *fn, void *arg)
{
    struct letter *letter = post(memory, LETTER_ANSWER, span_of(NULL, 0), buf_span(answer));
    letter->fn = fn;
    letter->arg = arg;
    buf_free(answer);
}

static int memory_touch(struct backend *backend, unsigned shard, const struct roster_touch *touch,
                        backend_answer_fn *fn, void *arg)
{
    struct memory *memory = CONTAINER_OF(backend, struct memory, backend);
    struct buf answer = {0}, change = {0};
    (void)shard;
    memory_roster_touch(&memory->hub->rosters, touch, &answer, &change);
    if (change.len > 0) {
        hub_publish(memory->hub, touch->channel, buf_span(&change));
    }
    post_answer(memory, &answer, fn, arg);
    buf_free(&change);
    return 0;
}

static int memory_beat(struct backend *backend, unsigned shard, const struct roster_beat *beat,
                       backend_answer_fn *fn, void *arg)
{
    struct memory *memory = CONTAINER_OF(backend, struct memory, backend);
    struct buf answer = {0};
    (void)shard;
    memory_roster_beat(&memory->hub->rosters, beat, &answer);
    post_answer(memory, &answer, fn, arg);
    return 0;
}

static struct span memory_timeline(struct backend *backend, unsigned shard)
{
    (void)backend, (void)shard;
    return SPAN("memory");
}

static int stream_append_at(struct backend *backend, unsigned shard, const struct stream_call *call,
                            backend_answer_fn *fn, void *arg)
{
    struct memory *memory = CONTAINER_OF(backend, struct memory, backend);
    struct buf answer = {0};
    (void)shard;
    memory_stream_append(&memory->hub->streams, call, &answer);
    post_answer(memory, &answer, fn, arg);
    return 0;
}

static int stream_state_at(struct backend *backend, unsigned shard,
                           const struct stream_marks *marks, backend_answer_fn *fn, void *arg)
{
    struct memory *memory = CONTAINER_OF(backend, struct memory, backend);
    struct buf answer = {0};
    (void)shard;
    memory_stream_state(&memory->hub->streams, marks, &answer);
    post_answer(memory, &answer, fn, arg);
    return 0;
}

static int stream_read_at(struct backend *backend, unsigned shard, const struct stream_query *query,
                          stream_read_fn *fn, void *arg)
{
    struct memory *memory = CONTAINER_OF(backend, struct memory, backend);
    struct read_request request = {fn, *query};
    (void)shard;
    struct letter *letter = post(memory, LETTER_READ, span_of(&request, sizeof(request)),
                                 span_of(query->from, query->lanes * sizeof(*query->from)));
    letter->arg = arg;
    return 0;
}

static int memory_visit(struct backend *backend, unsigned shard, const struct lookup_visit *visit,
                        struct lookup_call *call)
{
    struct memory *memory = CONTAINER_OF(backend, struct memory, backend);
    struct span value;
    (void)shard;
    enum lookup_result result = memory_lookup_visit(&memory->hub->lookups, visit, &value);
    struct letter *letter = post(memory, LETTER_LOOKUP, span_of(NULL, 0), value);
    letter->arg = call;
    letter->result = result;
    return 0;
}

static size_t memory_queued(struct backend *backend, unsigned shard)
{
    (void)backend, (void)shard;
    return 0;
}

static int memory_history(struct backend *backend, unsigned shard, const struct history_call *call,
                          backend_answer_fn *fn, void *arg)
{
    struct memory *memory = CONTAINER_OF(backend, struct memory, backend);
    struct buf answer = {0}, news = {0};
    (void)shard;
    memory_history_call(&memory->hub->histories, call, &answer, &news);
    if (news.len > 0) {
        hub_publish(memory->hub, call->channel, buf_span(&news));
    }
    struct letter *letter = post(memory, LETTER_ANSWER, span_of(NULL, 0), buf_span(&answer));
    letter->fn = fn;
    letter->arg = arg;
    buf_free(&answer);
    buf_free(&news);
    return 0;
}

static void memory_leave(struct backend *backend)
{
    (void)backend; /* all in one process speak alike: there is no roll */
}

static const char *memory_name(struct backend *backend, unsigned shard)
{
    (void)backend, (void)shard;
    return "memory";
}

static bool memory_ready(struct backend *backend, unsigned shard)
{
    (void)backend;
    (void)shard;
    return true;
}

static void memory_free(struct backend *backend)
{
    struct memory *memory = CONTAINER_OF(backend, struct memory, backend);
    LIST_EACH(it, &memory->inbox) {
        struct letter *letter = LIST_ITEM(it, struct letter, entry);
        if (letter->kind == LETTER_LOOKUP) {
            free(letter->arg); /* the call: its answer has no receiver any more */
        }
        free(letter);
    }
    while (!list_empty(&memory->ears)) {
        ear_free(LIST_ITEM(memory->ears.next, struct ear, mine));
    }
    event_free(memory->wake);
    if (memory->own_hub) {
        memory_hub_free(&memory->hub);
    }
    free(memory);
}

struct backend *memory_open(struct store *store, struct memory_hub *hub)
{
    static const struct backend_ops ops = {
        .subscribe = memory_subscribe,
        .unsubscribe = memory_unsubscribe,
        .publish = memory_publish,
        .prove = memory_prove,
        .touch = memory_touch,
        .beat = memory_beat,
        .timeline = memory_timeline,
        .stream_append = stream_append_at,
        .stream_read = stream_read_at,
        .stream_state = stream_state_at,
        .lookup = memory_visit,
        .history = memory_history,
        .leave = memory_leave,
        .name = memory_name,
        .ready = memory_ready,
        .queued = memory_queued,
        .free = memory_free,
    };
    struct memory *memory = mem_zalloc(sizeof(*memory));
    memory->backend = (struct backend){.ops = &ops, .store = store, .shards = 1, .parts = 1};
    memory->own_hub = hub == NULL;
    memory->hub = hub != NULL ? hub : memory_hub_new();
    list_init(&memory->ears);
    list_init(&memory->inbox);
    memory->wake = evtimer_new(store->base, on_wake, memory);
    timer_after(memory->wake, 0);
    return &memory->backend;
}
