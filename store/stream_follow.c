/* SPDX-License-Identifier: MIT */
#include "store/stream_follow.h"

#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/store_impl.h"
#include "store/stream_part.h"
#include "store/stream_place.h"
#include "store/stream_read.h"
#include "store/stream_sleep.h"

enum {
    FOLLOW_GATHER_MS = 60,
    FOLLOW_READ_LEAST = 8, /* of one lane at once, where they are large */
    ASK_AGAIN_MS = 5000,   /* for lanes that are new */
    SLEEPS_MS = 1000,      /* between two looks at what the store knows of a part that sleeps */
};

enum follow_state { FOLLOW_OFF, FOLLOW_ASKING, FOLLOW_FOLLOWING };

struct follow_part {
    struct stream_follow *follow;
    unsigned part;
    enum follow_state state;
    uint32_t most; /* entries of one lane that are asked for at once */
    bool asking, reading;
    bool blind; /* its server is away: it is not known where the part ends */
    bool there; /* it has been written to */
    unsigned lanes;
    uint64_t last; /* of the part when it was last asked */
    struct stream_place *places;
    struct event *timer;
    uint64_t asked_ms;
};

struct stream_follow {
    struct stream_follow_options options;
    struct follow_part parts[STREAM_PARTS];
    bool doubting;  /* parts are back that were blind: what came meanwhile may be missing, */
    uint64_t doubt; /* up to this number */
};

static unsigned places_of(unsigned part)
{
    return stream_part_count(part, STREAM_LANES_MOST);
}

static void arm(struct follow_part *part, uint32_t ms)
{
    timer_after(part->timer, ms);
}

static struct stream_place *place_of(struct follow_part *part, const struct stream_entry *entry)
{
    return &part->places[stream_part_index(part->part, entry->lane)];
}

/* ------------------------------------------------------------------------------------ reading */

/* Moves behind the entries. What was had before, from another server, is passed over. */
static void take(struct follow_part *part, const struct stream_entry *entries, size_t count)
{
    const struct stream_follow_options *options = &part->follow->options;
    struct stream_entry fresh[STREAM_FOLLOW_AT_ONCE];
    uint64_t missing = 0, before = 0; /* none missing has a number from `before` on */
    size_t news = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t skipped;
        if (stream_place_take(place_of(part, &entries[i]), &entries[i], &skipped)) {
            fresh[news++] = entries[i];
        }
        missing += skipped;
        before = skipped > 0 && entries[i].seq > before ? entries[i].seq : before;
    }
    if (missing > 0) {
        options->events->missed(options->arg, missing, before - 1);
    }
    if (news > 0) {
        options->events->entries(options->arg, fresh, news);
    }
}

static unsigned count_lanes(const struct stream_follow *follow)
{
    unsigned lanes = 0;
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        lanes += follow->parts[i].lanes;
    }
    return lanes;
}

/* The entries of the lane at the front of `entries`, and in *now how many of them go out in this
 * turn: no more bytes than there is room for before the next turn. What is left is read again. */
static size_t lane_run(const struct follow_part *part, const struct stream_entry *entries,
                       size_t count, size_t *now)
{
    size_t run = 0, bytes = 0, budget = part->follow->options.budget / count_lanes(part->follow);
    *now = 0;
    for (; run < count && entries[run].lane == entries[0].lane; run++) {
        bytes += entries[run].payload.len;
        *now = bytes <= budget || run == 0 ? run + 1 : *now;
    }
    return run;
}

/* Where not all that was read could go out, which is to be read again, fewer are asked for. */
static void adapt(struct follow_part *part, bool left, size_t went)
{
    size_t most = left ? went * 2 : (size_t)part->most * 2;
    most = most > FOLLOW_READ_LEAST ? most : FOLLOW_READ_LEAST;
    part->most = (uint32_t)(most < STREAM_FOLLOW_AT_ONCE ? most : STREAM_FOLLOW_AT_ONCE);
}

/* False when the server is in another history than some lane was read in: then all lanes go to where
 * they have to be read on. Of a stream that is gone nobody knows whether there was more to read. */
static bool is_ours(struct follow_part *part, const struct stream_head *head)
{
    const struct stream_follow_options *options = &part->follow->options;
    bool ours = true, gone = false;
    uint64_t last = part->last;
    for (unsigned i = 0; i < part->lanes && head->history.identity[0] != '\0'; i++) {
        struct stream_place *place = &part->places[i];
        if (!stream_place_is_in(place, head)) {
            gone = gone || stream_place_is_elsewhere(place, head);
            last = place->seq > last ? place->seq : last;
            stream_place_follow(place, head);
            ours = false;
        }
    }
    if (gone) {
        options->events->doubt(options->arg, last);
    }
    return ours;
}

static void on_read(void *arg, bool ok, const struct stream_head *head,
                    const struct stream_entry *entries, size_t count)
{
    struct follow_part *part = arg;
    bool more = false, left = false;
    size_t went = 0;
    part->reading = false;
    if (part->state != FOLLOW_FOLLOWING) {
        return;
    }
    if (ok && !is_ours(part, head)) {
        arm(part, 0);
        return;
    }
    while (count > 0) {
        size_t now, run = lane_run(part, entries, count, &now);
        take(part, entries, now);
        left = left || now < run;
        more = more || now < run || run == part->most;
        went = now > went ? now : went;
        entries += run;
        count -= run;
    }
    adapt(part, left, went);
    arm(part, more && ok ? 0 : FOLLOW_GATHER_MS);
}

/* ------------------------------------------------------------------------------------ asking */

static bool is_known(const struct follow_part *part)
{
    return part->state == FOLLOW_FOLLOWING || (part->state == FOLLOW_ASKING && part->blind);
}

bool stream_follow_is_ready(const struct stream_follow *follow)
{
    for (unsigned i = 0; i < stream_parts(follow->options.store); i++) {
        if (!is_known(&follow->parts[i])) {
            return false;
        }
    }
    return true;
}

static void tell_ready(const struct stream_follow *follow)
{
    if (stream_follow_is_ready(follow)) {
        follow->options.events->ready(follow->options.arg);
    }
}

/* Once for all parts that come back together: those that are still asked are waited for. */
static void tell_doubt(struct stream_follow *follow)
{
    const struct stream_follow_options *options = &follow->options;
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        const struct follow_part *part = &follow->parts[i];
        if (part->state == FOLLOW_ASKING && part->blind && stream_reached(options->store, i)) {
            return;
        }
    }
    if (follow->doubting) {
        uint64_t last = follow->doubt;
        follow->doubting = false;
        follow->doubt = 0;
        options->events->doubt(options->arg, last);
    }
}

/* With the server away listeners are let in, and hear once it is back. What other nodes take before this one
 * is back, too, is behind them by then: they are told so. */
static void go_blind(struct follow_part *part)
{
    part->blind = part->blind || part->state == FOLLOW_ASKING;
    tell_doubt(part->follow);
    tell_ready(part->follow);
}

/* Lanes that were not known begin where the part was when they were not yet there. */
static void take_lanes(struct follow_part *part, const struct stream_state *state, unsigned lanes,
                       uint64_t after)
{
    for (; part->lanes < lanes; part->lanes++) {
        struct stream_place *place = &part->places[part->lanes];
        stream_place_reset(place);
        place->history = state->head.history;
        place->seq = after;
    }
}

/* Where the part ends is where it is followed from. */
static void begin_following(struct follow_part *part, const struct stream_state *state,
                            unsigned lanes)
{
    struct stream_follow *follow = part->follow;
    part->state = FOLLOW_FOLLOWING;
    part->most = STREAM_FOLLOW_AT_ONCE;
    part->lanes = 0;
    take_lanes(part, state, lanes, state->last);
    /* What is there was written before the first listener came: should a server have it once more, it is
     * not new. */
    for (unsigned i = 0; i < part->lanes; i++) {
        struct span rest = state->writers, node;
        uint64_t call;
        while (stream_next_writer(&rest, &node, &call)) {
            stream_place_learn(&part->places[i], node, call, UINT32_MAX);
        }
    }
    if (part->blind) {
        part->blind = false;
        follow->doubting = true;
        follow->doubt = state->last > follow->doubt ? state->last : follow->doubt;
    }
    tell_doubt(follow);
    arm(part, FOLLOW_GATHER_MS);
}

/* Those that are there, and those that are to be expected. */
static unsigned lanes_of(const struct follow_part *part, const struct stream_state *state)
{
    const struct stream_follow_options *options = &part->follow->options;
    unsigned own = part->part == 0 || stream_may_spread(options->store) ? options->lanes : 0;
    return stream_part_count(part->part, state->lanes > own ? state->lanes : own);
}

static void on_state(void *arg, const struct stream_state *state)
{
    struct follow_part *part = arg;
    part->asking = false;
    if (part->state == FOLLOW_OFF) {
        return;
    }
    if (state == NULL) {
        go_blind(part);
        arm(part, FOLLOW_GATHER_MS);
        return;
    }
    unsigned lanes = lanes_of(part, state);
    part->there = state->head.history.identity[0] != '\0';
    if (part->state == FOLLOW_ASKING) {
        begin_following(part, state, lanes);
    }
    take_lanes(part, state, lanes, part->last);
    part->last = state->last;
    tell_ready(part->follow);
}

static void ask(struct follow_part *part)
{
    struct stream_ask question = {.writers = part->state == FOLLOW_ASKING};
    part->asked_ms = clock_monotonic_ms();
    part->asking =
        stream_state(part->follow->options.store, part->part, &question, on_state, part) == 0;
    if (!part->asking && part->state == FOLLOW_ASKING) {
        go_blind(part);
        arm(part, FOLLOW_GATHER_MS);
    }
}

static void read_on(struct follow_part *part)
{
    struct stream_from from[STREAM_LANES_MOST];
    for (unsigned i = 0; i < part->lanes; i++) {
        from[i] = (struct stream_from){stream_part_lane(part->part, i), part->places[i].seq};
    }
    part->reading = stream_read(part->follow->options.store, part->part, from, part->lanes,
                                part->most, on_read, part) == 0;
    if (!part->reading) {
        arm(part, FOLLOW_GATHER_MS);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct follow_part *part = arg;
    const struct stream_follow_options *options = &part->follow->options;
    (void)fd, (void)what;
    if (!options->events->wanted(options->arg)) {
        part->state = FOLLOW_OFF;
        return;
    }
    if (part->state == FOLLOW_ASKING) {
        if (!part->asking) {
            ask(part);
        }
        return;
    }
    bool sleeps = !part->there && stream_part_sleeps(options->store, part->part);
    if (!sleeps && clock_monotonic_ms() - part->asked_ms >= ASK_AGAIN_MS) {
        ask(part);
    }
    if (part->lanes == 0 ||
        (!part->there && !stream_may_spread(options->store) && part->part > 0)) {
        arm(part, sleeps ? SLEEPS_MS : ASK_AGAIN_MS); /* nobody writes there */
    } else if (options->events->busy(options->arg)) {
        arm(part, FOLLOW_GATHER_MS);
    } else if (!part->reading) {
        read_on(part);
    }
}

/* ------------------------------------------------------------------------------------ life */

void stream_follow_start(struct stream_follow *follow)
{
    for (unsigned i = 0; i < stream_parts(follow->options.store); i++) {
        struct follow_part *part = &follow->parts[i];
        if (part->state == FOLLOW_OFF) {
            part->state = FOLLOW_ASKING;
            part->blind = false;
            ask(part);
        } else if (part->state == FOLLOW_ASKING && !stream_reached(follow->options.store, i)) {
            go_blind(part);
        }
    }
}

size_t stream_follow_ends(const struct stream_follow *follow, struct stream_end *ends)
{
    size_t count = 0;
    for (unsigned p = 0; p < STREAM_PARTS; p++) {
        const struct follow_part *part = &follow->parts[p];
        for (unsigned i = 0; i < part->lanes && part->state == FOLLOW_FOLLOWING; i++) {
            ends[count++] = (struct stream_end){stream_part_lane(p, i), p, part->places[i].seq};
        }
    }
    return count;
}

int stream_end_read_back(struct store *store, const struct stream_end *end, uint64_t last,
                         size_t most, stream_read_fn *fn, void *arg)
{
    return stream_read_back(store, end->part, end->lane, last, most, fn, arg);
}

struct stream_follow *stream_follow_new(const struct stream_follow_options *options)
{
    struct stream_follow *follow = mem_zalloc(sizeof(*follow));
    follow->options = *options;
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        struct follow_part *part = &follow->parts[i];
        part->follow = follow;
        part->part = i;
        part->places = mem_alloc(places_of(i) * sizeof(*part->places));
        for (unsigned l = 0; l < places_of(i); l++) {
            stream_place_init(&part->places[l]);
        }
        part->timer = evtimer_new(options->store->base, on_timer, part);
    }
    return follow;
}

void stream_follow_free(struct stream_follow **follow)
{
    struct stream_follow *gone = *follow;
    if (gone == NULL) {
        return;
    }
    *follow = NULL;
    for (unsigned i = 0; i < STREAM_PARTS; i++) {
        struct follow_part *part = &gone->parts[i];
        for (unsigned l = 0; l < places_of(i); l++) {
            stream_place_deinit(&part->places[l]);
        }
        free(part->places);
        event_free(part->timer);
    }
    free(gone);
}
