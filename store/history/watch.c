/* SPDX-License-Identifier: MIT */
#include "store/bus_impl.h"
#include "store/history/impl.h"
#include "store/history/note.h"

#include <inttypes.h>

enum {
    FETCH_MOST = 200,
    WRITERS_MOST = 2048,
};

/* A writer, and what was delivered of it last: whatever comes again of it was delivered. */
struct history_writer {
    struct map_node node;
    uint64_t sequence;
    char name[];
};

void history_watch_init(struct history_key *key)
{
    map_init(&key->writers);
}

static void forget_writers(struct history_key *key)
{
    MAP_EACH(it, &key->writers) {
        struct history_writer *writer = MAP_ENTRY(it, struct history_writer, node);
        map_remove(&key->writers, it);
        free(writer);
    }
}

void history_watch_free(struct history_key *key)
{
    forget_writers(key);
    buf_free(&key->mark);
    map_deinit(&key->writers);
}

static void tell(struct history_watch *watch, enum history_event event,
                 const struct history_entry *entry)
{
    if (watcher_listens(&watch->watcher)) {
        watch->fn(watch->arg, event, entry);
    }
}

static void tell_all(struct history_key *key, enum history_event event,
                     const struct history_entry *entry)
{
    WATCHERS_EACH(history_watch, watch, &key->watches) {
        tell(watch, event, entry);
    }
}

/* ---------------------------------------------------------------------------------- deliver */

static void forget_stalest(struct history_key *key)
{
    struct history_writer *stalest = NULL;
    MAP_EACH(it, &key->writers) {
        struct history_writer *writer = MAP_ENTRY(it, struct history_writer, node);
        if (stalest == NULL || writer->sequence < stalest->sequence) {
            stalest = writer; /* sequences begin with the time */
        }
    }
    map_remove(&key->writers, &stalest->node);
    free(stalest);
}

static struct history_writer *writer_get(struct history_key *key, struct span name)
{
    struct map_node *node = map_find(&key->writers, name);
    if (node != NULL) {
        return MAP_ENTRY(node, struct history_writer, node);
    }
    if (key->writers.count >= WRITERS_MOST) {
        forget_stalest(key);
    }
    struct history_writer *writer = mem_zalloc(sizeof(*writer) + name.len);
    memcpy(writer->name, name.ptr, name.len);
    map_insert(&key->writers, &writer->node, span_of(writer->name, name.len));
    return writer;
}

/* The entry at the place: a reader that goes on from there asks whether it still is that one. */
static void set_mark(struct history_key *key, const struct history_record *record)
{
    key->mark.len = 0;
    buf_printf(&key->mark, "%" PRIu64 " %.*s", record->sequence, SPAN_ARG(record->writer));
}

static void deliver(struct history_key *key, const struct history_record *record)
{
    struct history_writer *writer = writer_get(key, record->writer);
    key->last = record->id;
    set_mark(key, record);
    if (record->sequence > writer->sequence) {
        writer->sequence = record->sequence;
        tell_all(key, HISTORY_ENTRY,
                 &(struct history_entry){.id = record->id, .value = record->value});
    }
}

static void catch_up(struct history_key *key)
{
    key->behind = true;
    history_key_kick(key);
}

/* True when `note` begins a new life of the key: nothing of it can have been missed. */
static bool begins_life(const struct history_note *note)
{
    struct span rest = note->records;
    struct history_record record;
    return history_note_next(&rest, &record) && record.id == note->birth;
}

static void set_timeline(struct history_timeline *to, struct span timeline)
{
    to->len = timeline.len < sizeof(to->name) ? timeline.len : sizeof(to->name);
    memcpy(to->name, timeline.ptr, to->len);
}

static bool is_timeline(const struct history_timeline *timeline, struct span name)
{
    return span_eq(span_of(timeline->name, timeline->len), name);
}

static void on_note(struct history_key *key, const struct history_note *note)
{
    struct span rest = note->records;
    struct history_record record;
    if (note->birth != key->birth) {
        if (!begins_life(note)) {
            catch_up(key);
            return;
        }
        key->birth = note->birth;
        key->last = note->birth - 1;
        set_timeline(&key->timeline, note->timeline);
    } else if (!is_timeline(&key->timeline, note->timeline)) {
        catch_up(key);
        return;
    }
    while (history_note_next(&rest, &record)) {
        if (record.id > key->last + 1) {
            catch_up(key);
            return;
        }
        if (record.id == key->last + 1) {
            deliver(key, &record);
        }
    }
}

static void on_channel(void *arg, enum bus_event event, struct span payload)
{
    struct history_key *key = arg;
    struct history_note note;
    if (event != BUS_MESSAGE) {
        key->listening = event == BUS_READY;
        catch_up(key);
    } else if (history_note_read(payload, &note) == 0 && key->positioned) {
        if (key->fetching || key->behind) {
            key->heard_birth = note.birth;
            key->heard_last = note.last;
            set_timeline(&key->heard_timeline, note.timeline);
        } else {
            on_note(key, &note);
        }
    }
}

/* ------------------------------------------------------------------------------------ fetch */

/* The key may have begun a new life, or be in another timeline: the server has said from where on it
 * lists. What was delivered before is known by its writers then. */
static void follow_life(struct history_key *key, const struct history_note *note)
{
    if (note->birth != key->birth) {
        key->birth = note->birth;
        key->last = note->birth > 0 ? note->birth - 1 : 0;
        key->mark.len = 0;
    } else if (note->after != key->last) {
        key->last = note->after;
        key->mark.len = 0;
    }
    set_timeline(&key->timeline, note->timeline);
}

/* What came in while the fetch was under way is newer than what was fetched. */
static bool has_heard_more(const struct history_key *key)
{
    const struct history_timeline *heard = &key->heard_timeline;
    return key->heard_last > 0 && (key->heard_birth != key->birth || key->heard_last > key->last ||
                                   !is_timeline(&key->timeline, span_of(heard->name, heard->len)));
}

static void take_fetched(struct history_key *key, const struct history_note *note)
{
    struct span rest = note->records;
    struct history_record record;
    follow_life(key, note);
    if (rest.len == 0) {
        key->last = note->last;
    }
    while (history_note_next(&rest, &record)) {
        if (record.id > key->last + 1) {
            tell_all(key, HISTORY_LOST, &(struct history_entry){.lost = record.id - key->last - 1});
        }
        deliver(key, &record);
        key->store->stats.refetched++;
    }
    key->behind = has_heard_more(key) || key->last < note->last;
}

/* What is there was said before this watch: whatever comes again of it is not new. */
static void take_position(struct history_key *key, const struct history_note *note)
{
    struct span rest = note->writers, records = note->records, name;
    struct history_record record;
    uint64_t sequence;
    key->positioned = true;
    key->mark.len = 0;
    key->birth = note->birth;
    key->last = note->last;
    set_timeline(&key->timeline, note->timeline);
    if (history_note_next(&records, &record)) {
        set_mark(key, &record);
    }
    while (history_note_writer(&rest, &name, &sequence)) {
        writer_get(key, name)->sequence = sequence;
    }
    catch_up(key);
}

static void on_fetched(void *arg, enum backend_answer answer, struct span reply)
{
    struct history_key *key = arg;
    struct history_note note;
    key->fetching = false;
    if (!history_key_watched(key)) {
        return;
    }
    if (answer != BACKEND_OK || history_note_read(reply, &note) != 0) {
        key->behind = true;
        key->refused = answer != BACKEND_LOST;
        history_tick_start(key->store);
    } else if (!key->positioned) {
        take_position(key, &note);
    } else {
        take_fetched(key, &note);
    }
    history_key_kick(key);
}

static void fetch(struct history_key *key)
{
    struct backend *backend = key->store->backend;
    struct history_call call = {
        .verb = HISTORY_AFTER,
        .key = map_key(&key->node),
        .birth = key->birth,
        .timeline = span_of(key->timeline.name, key->timeline.len),
        .after = key->last,
        .mark = buf_span(&key->mark),
        .limit = key->positioned ? FETCH_MOST : 0,
    };
    key->heard_birth = key->heard_last = 0;
    key->fetching = backend->ops->history(backend, key->shard, &call, on_fetched, key) == 0;
}

/* ------------------------------------------------------------------------------------- life */

static void stop_following(struct history_key *key)
{
    bus_unsubscribe(&key->sub);
    forget_writers(key);
    key->listening = key->positioned = key->behind = key->current = false;
}

static void settle(struct history_key *key)
{
    bool was = key->current;
    key->current = key->positioned && key->listening && !key->behind && !key->fetching;
    WATCHERS_EACH(history_watch, watch, &key->watches) {
        if (key->current && (!was || watch->owed)) {
            watch->owed = false;
            tell(watch, HISTORY_CURRENT, NULL);
        }
    }
}

void history_watch_run(struct history_key *key)
{
    watchers_sweep(&key->watches);
    if (!history_key_watched(key)) {
        if (key->sub != NULL) {
            stop_following(key);
        }
        return;
    }
    if (key->sub == NULL) {
        key->sub =
            bus_channel_subscribe(key->store, key->shard, span_str(key->channel), on_channel, key);
    }
    if (history_key_up(key) && !key->fetching && !key->refused &&
        (!key->positioned || (key->listening && key->behind))) {
        fetch(key);
    }
    settle(key);
}

void history_watch_link_down(struct history_key *key)
{
    key->behind = history_key_watched(key);
    if (key->current) {
        key->current = false;
        tell_all(key, HISTORY_STALE, NULL);
    }
}
