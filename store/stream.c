/* SPDX-License-Identifier: MIT */
/* The appends of stream.h: each is shared out over the parts that it touches, where it joins the part's
 * next call (stream_sender.c), and is answered when all of them have said what became of their share. */
#include "store/stream.h"

#include "store/store_impl.h"
#include "store/stream_call.h"
#include "store/stream_impl.h"
#include "store/stream_part.h"
#include "store/stream_sender.h"
#include "store/stream_whole.h"

/* ------------------------------------------------------------------------------------ sharing out */

/* What an append has for each part. */
struct shares {
    unsigned parts; /* that it touches */
    uint64_t lanes[STREAM_PARTS];
    size_t counts[STREAM_PARTS];
};

static void share_out(const struct store *store, struct chunk *items, size_t count,
                      struct shares *shares)
{
    struct span rest = span_of(items->data, items->len);
    struct stream_item item;
    *shares = (struct shares){0};
    bool spread = stream_is_spread(store);
    while (spread && stream_item_next(&rest, &item)) {
        unsigned part = stream_part_of_lane(store, item.lane);
        shares->parts += shares->lanes[part] == 0;
        shares->lanes[part] |= UINT64_C(1) << item.lane;
        shares->counts[part]++;
    }
    if (shares->parts == 0) {
        *shares = (struct shares){.parts = 1, .lanes = {UINT64_MAX}, .counts = {count}};
    }
}

/* A part's share of the items, in their order. */
static struct chunk *cut_share(const struct store *store, struct chunk *items, unsigned part)
{
    struct span rest = span_of(items->data, items->len), before = rest;
    struct stream_item item;
    struct buf flat = {0};
    chunk_begin(&flat);
    for (; stream_item_next(&rest, &item); before = rest) {
        if (stream_part_of_lane(store, item.lane) == part) {
            buf_append(&flat, span_of(before.ptr, before.len - rest.len));
        }
    }
    return chunk_end(&flat);
}

/* Can all that it touches take it? Or, `apart`, some? */
static bool can_take(const struct store *store, const struct shares *shares, bool apart)
{
    unsigned able = 0;
    for (unsigned i = 0; i < stream_parts(store); i++) {
        const struct stream_table *table = &store->stream.parts[i];
        bool alone = apart || shares->parts == 1;
        able += shares->lanes[i] != 0 &&
                (alone ? stream_sender_has_room(table) : stream_sender_is_well(table));
    }
    return apart ? able > 0 : able == shares->parts;
}

static int append_items(struct store *store, struct chunk *items, size_t count, bool apart,
                        stream_append_fn *fn, void *arg)
{
    struct shares shares;
    share_out(store, items, count, &shares);
    if (!can_take(store, &shares, apart)) {
        return -1;
    }
    struct stream_whole *whole = stream_whole_new(fn, arg);
    for (unsigned i = 0; i < stream_parts(store); i++) {
        struct stream_table *table = &store->stream.parts[i];
        /* All of one whole was looked at; a share that is queued may fill what the next one needs. */
        if (shares.lanes[i] != 0 && (!apart || stream_sender_has_room(table))) {
            struct chunk *share = shares.parts == 1 ? chunk_ref(items) : cut_share(store, items, i);
            stream_sender_queue(table, share, shares.counts[i], shares.lanes[i], whole);
        } else if (shares.lanes[i] != 0) {
            stream_whole_note(whole, shares.lanes[i], STREAM_REFUSED);
        }
    }
    stream_whole_unref(whole);
    return 0;
}

int stream_append_chunk(struct store *store, struct chunk *items, size_t count,
                        stream_append_fn *fn, void *arg)
{
    return append_items(store, items, count, false, fn, arg);
}

int stream_append_apart(struct store *store, struct chunk *items, size_t count,
                        stream_append_fn *fn, void *arg)
{
    return append_items(store, items, count, true, fn, arg);
}

int stream_append(struct store *store, const struct stream_item *items, size_t count,
                  stream_append_fn *fn, void *arg)
{
    struct buf flat = {0};
    chunk_begin(&flat);
    for (size_t i = 0; i < count; i++) {
        stream_item_put(&flat, &items[i]);
    }
    struct chunk *chunk = chunk_end(&flat);
    int begun = stream_append_chunk(store, chunk, count, fn, arg);
    chunk_unref(chunk);
    return begun;
}

/* -------------------------------------------------------------------------------- what links tell */

void stream_on_link(struct store *store, const struct shard_set *which, bool up)
{
    for (unsigned i = 0; i < stream_parts(store); i++) {
        if (shard_set_has(which, stream_part_home(store, i))) {
            stream_sender_on_link(&store->stream.parts[i], up);
        }
    }
}

/* A part has another server. */
void stream_on_owner(struct store *store)
{
    for (unsigned i = 0; i < stream_parts(store); i++) {
        struct stream_table *table = &store->stream.parts[i];
        if (table->home != stream_part_home(store, i)) {
            table->home = stream_part_home(store, i);
            stream_sender_on_link(table, store->shards[table->home].up);
        }
    }
}

/* ------------------------------------------------------------------------------------ life */

void stream_setup(struct store *store, const struct stream_limits *limits)
{
    store->stream.limits = *limits;
}

void stream_init(struct store *store)
{
    store->stream.limits = (struct stream_limits){.lanes = 1, .entries = UINT32_MAX};
    list_init(&store->stream.questions);
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        stream_sender_init(&store->stream.parts[i], store, i);
    }
}

void stream_find_homes(struct store *store)
{
    for (unsigned i = 0; i < stream_parts(store); i++) {
        store->stream.parts[i].home = stream_part_home(store, i);
    }
}

void stream_deinit(struct store *store)
{
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        stream_sender_deinit(&store->stream.parts[i]);
    }
    stream_questions_free(store);
}
