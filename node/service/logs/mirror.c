/* SPDX-License-Identifier: MIT */
/*     dump --entries--> waiting --one append at a time--> stream
 *                          ^---refused, or no link: once more, later */
#include "node/service/logs/mirror.h"

#include "node/core/log.h"
#include "node/proto/json/walk.h"
#include "node/service/logs/batch.h"
#include "node/service/logs/dump.h"
#include "store/base/list.h"
#include "store/base/mem.h"
#include "store/base/timer.h"
#include "store/stream.h"

#include <stdlib.h>

enum {
    MIRROR_WAITING_BYTES = 1024 * 1024, /* then it stops reading */
    MIRROR_GATHER_MS = 50,
    MIRROR_AGAIN_MS = 1000,
};

struct logs_mirror {
    struct logs_mirror_options options;
    struct logs_dump *dump;
    struct logs_batch waiting; /* heard, not yet given to the stream */
    struct logs_batch asked;   /* given to it, not yet answered */
    struct event *next;        /* the next append */
    bool asking, troubled;
};

static void start_batch(const struct logs_mirror *mirror, struct logs_batch *batch)
{
    *batch = (struct logs_batch){
        .entry_limit = mirror->options.entry_limit,
        .lanes = mirror->options.lanes,
        .keys = {.room = mirror->options.room_keys, .user = mirror->options.user_keys}};
}

static void say_trouble(struct logs_mirror *mirror, const char *why)
{
    if (!mirror->troubled) {
        log_warn("mirror waits", LOG_TEXT_FIELD("detail", why));
    }
    mirror->troubled = true;
}

/* An answer that did not come may have been a yes: the entries are not added twice, as a sender of
 * /logs/add would not. */
static void on_appended(void *arg, const struct stream_result *result)
{
    struct logs_mirror *mirror = arg;
    mirror->asking = false;
    if (result->refused != 0) {
        logs_batch_keep(&mirror->asked, result->refused);
        say_trouble(mirror, result->outcome == STREAM_FULL ? "the log stream is full"
                                                           : "the store takes nothing");
        timer_after(mirror->next, MIRROR_AGAIN_MS);
        return;
    }
    logs_batch_free(&mirror->asked);
    start_batch(mirror, &mirror->asked);
    mirror->troubled = false;
    timer_after(mirror->next, MIRROR_GATHER_MS);
}

static void on_next(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct logs_mirror *mirror = arg;
    if (mirror->asking) {
        return;
    }
    if (mirror->asked.count == 0) {
        struct logs_batch empty = mirror->asked;
        mirror->asked = mirror->waiting;
        mirror->waiting = empty;
        logs_batch_place(&mirror->asked);
    }
    if (mirror->asked.count == 0) {
        return;
    }
    mirror->asking = stream_append_chunk(mirror->options.store, mirror->asked.items,
                                         mirror->asked.count, on_appended, mirror) == 0;
    if (!mirror->asking) {
        say_trouble(mirror, "the store cannot be reached");
        timer_after(mirror->next, MIRROR_AGAIN_MS);
    }
}

static bool has_room(void *arg)
{
    const struct logs_mirror *mirror = arg;
    return mirror->waiting.flat.len < MIRROR_WAITING_BYTES &&
           mirror->waiting.count < LOGS_BATCH_MOST / 2;
}

/* One that is no object, or too large, is left out: it costs no other. */
static bool on_entry(void *arg, const struct sink_item *item)
{
    struct logs_mirror *mirror = arg;
    size_t at;
    bool entry = json_valid(item->payload, &at) && json_kind_of(item->payload) == JSON_KIND_OBJECT;
    if (entry && !logs_batch_add(&mirror->waiting, item->payload)) {
        say_trouble(mirror, "more came at once than it holds: entries are lost");
    }
    if (!mirror->asking && !evtimer_pending(mirror->next, NULL)) {
        timer_after(mirror->next, MIRROR_GATHER_MS);
    }
    return has_room(mirror);
}

struct logs_mirror *logs_mirror_new(const struct logs_mirror_options *options, char *error,
                                    size_t error_size)
{
    struct logs_mirror *mirror = mem_zalloc(sizeof(*mirror));
    mirror->options = *options;
    start_batch(mirror, &mirror->waiting);
    start_batch(mirror, &mirror->asked);
    mirror->next = evtimer_new(options->base, on_next, mirror);
    mirror->dump = logs_dump_new(&(struct logs_dump_options){.base = options->base,
                                                             .url = options->url,
                                                             .ca = options->ca,
                                                             .token = options->token,
                                                             .entry = on_entry,
                                                             .room = has_room,
                                                             .arg = mirror},
                                 error, error_size);
    if (mirror->dump == NULL) {
        logs_mirror_free(&mirror);
    }
    return mirror;
}

void logs_mirror_free(struct logs_mirror **mirror)
{
    struct logs_mirror *gone = *mirror;
    if (gone == NULL) {
        return;
    }
    *mirror = NULL;
    logs_dump_free(&gone->dump);
    logs_batch_free(&gone->waiting);
    logs_batch_free(&gone->asked);
    event_free(gone->next);
    free(gone);
}
