/* SPDX-License-Identifier: MIT */
/* The tail: OFF --a listener joins--> ASKING (where does the stream end?) --> FOLLOWING, read by
 * position every LOGS_TAIL_GATHER_MS, or at once while there is more. OFF again when there was no
 * listener for a round. */
#include "node/service/logs/entry.h"
#include "node/service/logs/live_impl.h"
#include "store/base/check.h"
#include "store/base/clock.h"
#include "store/base/timer.h"

#include <stdlib.h>

enum {
    LOGS_TAIL_GATHER_MS = 60,
    LOGS_TAIL_READ_MOST = 500,           /* entries of one lane at once */
    LOGS_TAIL_READ_LEAST = 8,            /* where they are large */
    LOGS_TAIL_MESSAGE_BYTES = 32 * 1024, /* after which a message ends */
    ASK_AGAIN_MS = 5000,                 /* for lanes that are new */
};

/* Entries of one room, gathered from one answer. */
struct tail_room {
    struct map_node node;
    struct list entry;
    struct buf text;
    struct logs_run run;
    struct span room; /* borrowed from the answer */
};

struct groups {
    struct map by_room;
    struct list order;
};

static struct tail_room *group_get(struct groups *groups, struct span room)
{
    struct map_node *node = map_find(&groups->by_room, room);
    if (node != NULL) {
        return MAP_ENTRY(node, struct tail_room, node);
    }
    struct tail_room *group = mem_zalloc(sizeof(*group));
    group->room = room;
    list_push_back(&groups->order, &group->entry);
    map_insert(&groups->by_room, &group->node, room);
    return group;
}

static void flush(struct logs_live *live, struct tail_room *group)
{
    if (group->run.count > 0) {
        buf_append(&group->text, SPAN("]"));
        logs_live_deliver(live, group->room, buf_span(&group->text), group->run);
        group->text.len = 0;
        group->run.count = 0;
    }
}

/* Moves behind the entries. What was had before, from another server, goes out no more; listeners
 * are told how many entries are missing. */
static void take(struct logs_live *live, struct groups *groups, const struct stream_entry *entries,
                 size_t count)
{
    uint64_t missing = 0, before = 0; /* none missing has a number from `before` on */
    bool fresh[LOGS_TAIL_READ_MOST];
    for (size_t i = 0; i < count; i++) {
        uint64_t skipped;
        struct stream_place *place = &live->tail.places[entries[i].lane];
        fresh[i] = stream_place_take(place, &entries[i], &skipped);
        missing += skipped;
        before = skipped > 0 && entries[i].seq > before ? entries[i].seq : before;
    }
    if (missing > 0) {
        logs_live_missed(live, missing, before - 1);
    }
    for (size_t i = 0; i < count; i++) {
        if (fresh[i] && logs_live_wants(live, entries[i].tag)) {
            struct tail_room *group = group_get(groups, entries[i].tag);
            bool own = logs_is_own(entries[i].tag, entries[i].payload);
            if (own != group->run.own) {
                flush(live, group);
                group->run.own = own;
            }
            buf_append(&group->text, group->run.count++ > 0 ? SPAN(",") : SPAN("["));
            logs_print(&group->text, entries[i].seq, entries[i].payload);
            group->run.last = entries[i].seq;
            if (group->text.len >= LOGS_TAIL_MESSAGE_BYTES ||
                group->text.len >= live->options.queue_limit / 8) {
                flush(live, group);
            }
        }
    }
}

/* ------------------------------------------------------------------------------------ reading */

static void arm(struct tail *tail, uint32_t ms)
{
    timer_after(tail->timer, ms);
}

/* The entries of the lane at the front of `entries`, and in *now how many of them go out in this
 * turn: no more bytes than leave a listener's queue room to be written before the next turn. What
 * is left is read again. */
static size_t lane_run(const struct logs_live *live, const struct stream_entry *entries,
                       size_t count, size_t *now)
{
    size_t run = 0, bytes = 0, budget = live->options.queue_limit / 4 / live->tail.lanes;
    *now = 0;
    for (; run < count && entries[run].lane == entries[0].lane; run++) {
        bytes += entries[run].payload.len;
        *now = bytes <= budget || run == 0 ? run + 1 : *now;
    }
    return run;
}

/* Where not all that was read could go out, which is to be read again, fewer are asked for. */
static void adapt(struct tail *tail, bool left, size_t went)
{
    size_t most = left ? went * 2 : (size_t)tail->most * 2;
    most = most > LOGS_TAIL_READ_LEAST ? most : LOGS_TAIL_READ_LEAST;
    tail->most = (uint32_t)(most < LOGS_TAIL_READ_MOST ? most : LOGS_TAIL_READ_MOST);
}

/* False when the server is in another history than some lane was read in: then all lanes go to where
 * they have to be read on. Of a stream that is gone nobody knows whether there was more to read. */
static bool is_ours(struct logs_live *live, const struct stream_head *head)
{
    struct tail *tail = &live->tail;
    bool ours = true, gone = false;
    uint64_t last = tail->last;
    for (unsigned i = 0; i < tail->lanes && head->history.identity[0] != '\0'; i++) {
        if (!stream_place_is_in(&tail->places[i], head)) {
            const struct stream_place *place = &tail->places[i];
            gone = gone || stream_place_is_elsewhere(place, head);
            last = place->seq > last ? place->seq : last;
            stream_place_follow(&tail->places[i], head);
            ours = false;
        }
    }
    if (gone) {
        logs_live_doubt(live, last);
    }
    return ours;
}

static void on_read(void *arg, bool ok, const struct stream_head *head,
                    const struct stream_entry *entries, size_t count)
{
    struct logs_live *live = arg;
    struct tail *tail = &live->tail;
    bool more = false, left = false;
    size_t went = 0;
    tail->reading = false;
    if (tail->state != TAIL_FOLLOWING) {
        return;
    }
    if (ok && !is_ours(live, head)) {
        arm(tail, 0);
        return;
    }
    while (count > 0) {
        size_t now, run = lane_run(live, entries, count, &now);
        struct groups groups;
        map_init(&groups.by_room);
        list_init(&groups.order);
        take(live, &groups, entries, now);
        while (!list_empty(&groups.order)) {
            struct tail_room *group = LIST_ITEM(groups.order.next, struct tail_room, entry);
            flush(live, group);
            list_del(&group->entry);
            buf_free(&group->text);
            free(group);
        }
        map_deinit(&groups.by_room);
        left = left || now < run;
        more = more || now < run || run == tail->most;
        went = now > went ? now : went;
        entries += run;
        count -= run;
    }
    adapt(tail, left, went);
    arm(tail, more && ok ? 0 : LOGS_TAIL_GATHER_MS);
}

/* ------------------------------------------------------------------------------------ asking */

/* Lanes that were not known begin where the stream was when they were not yet there. */
static void take_lanes(struct tail *tail, const struct stream_state *state, unsigned lanes,
                       uint64_t after)
{
    for (; tail->lanes < lanes; tail->lanes++) {
        struct stream_place *place = &tail->places[tail->lanes];
        stream_place_reset(place);
        place->history = state->head.history;
        place->seq = after;
    }
}

/* With the store away listeners are let in, and hear once it is back. What other nodes take before this one
 * is back, too, is behind them by then: they are told so. */
static void admit_blind(struct logs_live *live)
{
    live->tail.blind = live->tail.blind || live->tail.state == TAIL_ASKING;
    logs_live_admit(live);
}

/* Where the stream ends is where the tail begins. */
static void begin_following(struct logs_live *live, const struct stream_state *state,
                            unsigned lanes)
{
    struct tail *tail = &live->tail;
    CHECK(tail->state == TAIL_ASKING);
    tail->state = TAIL_FOLLOWING;
    tail->most = LOGS_TAIL_READ_MOST;
    tail->lanes = 0;
    take_lanes(tail, state, lanes, state->last);
    /* What is there was written before the first listener came: should a server have it once more, it is
     * not new. */
    for (unsigned i = 0; i < tail->lanes; i++) {
        struct span rest = state->writers, node;
        uint64_t call;
        while (stream_next_writer(&rest, &node, &call)) {
            stream_place_learn(&tail->places[i], node, call, UINT32_MAX);
        }
    }
    if (tail->blind) {
        tail->blind = false;
        logs_live_doubt(live, state->last);
    }
    arm(tail, LOGS_TAIL_GATHER_MS);
}

static void on_state(void *arg, const struct stream_state *state)
{
    struct logs_live *live = arg;
    struct tail *tail = &live->tail;
    unsigned own = live->options.lanes;
    if (tail->state == TAIL_OFF) {
        return;
    }
    if (state == NULL) {
        admit_blind(live);
        arm(tail, LOGS_TAIL_GATHER_MS);
        return;
    }
    unsigned lanes = state->lanes > own ? state->lanes : own;
    if (tail->state == TAIL_ASKING) {
        begin_following(live, state, lanes);
    }
    take_lanes(tail, state, lanes, tail->last);
    tail->last = state->last;
    logs_live_admit(live);
}

static void ask(struct logs_live *live)
{
    struct tail *tail = &live->tail;
    tail->asked_ms = clock_monotonic_ms();
    struct stream_ask question = {.writers = tail->state == TAIL_ASKING};
    if (stream_state(live->options.store, &question, on_state, live) != 0 &&
        tail->state == TAIL_ASKING) {
        admit_blind(live);
        arm(tail, LOGS_TAIL_GATHER_MS);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct logs_live *live = arg;
    struct tail *tail = &live->tail;
    (void)fd, (void)what;
    if (live->count == 0) {
        tail->state = TAIL_OFF;
        return;
    }
    if (tail->state == TAIL_ASKING) {
        ask(live);
        return;
    }
    if (clock_monotonic_ms() - tail->asked_ms > ASK_AGAIN_MS) {
        ask(live);
    }
    if (!tail->reading) {
        struct stream_from from[STREAM_LANES_MOST];
        for (unsigned i = 0; i < tail->lanes; i++) {
            from[i] = (struct stream_from){i, tail->places[i].seq};
        }
        tail->reading =
            stream_read(live->options.store, from, tail->lanes, tail->most, on_read, live) == 0;
        if (!tail->reading) {
            arm(tail, LOGS_TAIL_GATHER_MS);
        }
    }
}

void logs_tail_start(struct logs_live *live)
{
    if (live->tail.state == TAIL_OFF) {
        live->tail.state = TAIL_ASKING;
        live->tail.blind = false;
        ask(live);
    } else if (live->tail.state == TAIL_ASKING && !stream_reached(live->options.store)) {
        admit_blind(live);
    }
}

void logs_tail_init(struct logs_live *live)
{
    for (unsigned i = 0; i < STREAM_LANES_MOST; i++) {
        stream_place_init(&live->tail.places[i]);
    }
    live->tail.timer = event_new(loop_base(net_loop(live->options.net)), -1, 0, on_timer, live);
}

void logs_tail_deinit(struct logs_live *live)
{
    for (unsigned i = 0; i < STREAM_LANES_MOST; i++) {
        stream_place_deinit(&live->tail.places[i]);
    }
    event_free(live->tail.timer);
}
