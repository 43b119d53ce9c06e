/* SPDX-License-Identifier: MIT */
#include "store/redis/mover.h"

#include "store/base/decimal.h"
#include "store/base/entropy.h"
#include "store/base/timer.h"
#include "store/redis/moves.h"
#include "store/store_impl.h"
#include "store/stream_part.h"

enum {
    MOVER_TOKEN_DIGITS = 16,
    LANE_ENTRIES = 500,
    LANE_ID_MOST = 48,
    PART_LANES = STREAM_LANES_MOST / STREAM_PARTS, /* but for the first part, which may have all */
    LANES_MOST = STREAM_LANES_MOST + (STREAM_PARTS - 1) * PART_LANES,
};

enum mover_step {
    MOVER_BEGIN,
    MOVER_OPEN,
    MOVER_CLEAR,
    MOVER_LANE_BEFORE,
    MOVER_PUT_BEFORE,
    MOVER_HOLD,
    MOVER_TAKE,
    MOVER_PUT,
    MOVER_LANE,
    MOVER_PUT_LANE,
    MOVER_CLOSE,
    MOVER_COMMIT,
    MOVER_HERE,
    MOVER_SWEEP,
    MOVER_END,
    MOVER_OVER,
};

struct redis_mover {
    struct store *store;
    struct redis_mover_plan plan;
    redis_mover_fn *fn;
    void *arg;
    char token[MOVER_TOKEN_DIGITS + 1];
    enum mover_step step;
    bool under_way; /* a visit is */
    bool done;
    bool let_go, gone; /* it is over with the answer; it is to be freed then */
    char cursor[24];
    struct buf left;                     /* names that were found at it, and not taken yet */
    unsigned lane;                       /* of all that all parts of the stream can have */
    char last[LANES_MOST][LANE_ID_MOST]; /* of each of these, what was put last; "": nothing */
    struct event *over;
};

static const struct {
    const char *verb;
    bool at_new;
} steps[] = {
    [MOVER_BEGIN] = {"begin", false},   [MOVER_OPEN] = {"open", true},
    [MOVER_CLEAR] = {"clear", true},    [MOVER_LANE_BEFORE] = {"lane", false},
    [MOVER_PUT_BEFORE] = {"put", true}, [MOVER_HOLD] = {"hold", false},
    [MOVER_TAKE] = {"take", false},     [MOVER_PUT] = {"put", true},
    [MOVER_LANE] = {"lane", false},     [MOVER_PUT_LANE] = {"put", true},
    [MOVER_CLOSE] = {"close", true},    [MOVER_COMMIT] = {"commit", false},
    [MOVER_HERE] = {"here", true},      [MOVER_SWEEP] = {"sweep", false},
    [MOVER_END] = {"end", false},
};

static void end(struct redis_mover *mover)
{
    mover->step = MOVER_OVER;
    timer_after(mover->over, 0);
}

static void on_answer(void *arg, enum backend_answer answer, struct span reply);
static void on_copied(void *arg, enum backend_answer answer, struct span reply);

static unsigned part_of(unsigned lane)
{
    return lane < STREAM_LANES_MOST ? 0 : 1 + (lane - STREAM_LANES_MOST) / PART_LANES;
}

/* Its number in its part. */
static unsigned number_of(unsigned lane)
{
    unsigned part = part_of(lane);
    return part == 0 ? lane : stream_part_lane(part, (lane - STREAM_LANES_MOST) % PART_LANES);
}

static bool moves_lane(const struct redis_mover *mover, unsigned lane)
{
    return shard_set_has(&mover->plan.partitions, stream_part_partition(part_of(lane)));
}

static void put_lane(const struct redis_mover *mover, struct redis_script *call)
{
    struct buf key = {0};
    unsigned home = stream_part_partition(part_of(mover->lane));
    buf_printf(&key, "%s:{%s}:s:%u", mover->store->prefix, partition_tag(home),
               number_of(mover->lane));
    redis_script_word(call, buf_span(&key));
    redis_script_word(call, span_str(mover->last[mover->lane]));
    redis_script_number(call, LANE_ENTRIES);
    buf_free(&key);
}

/* Makes the visit of a step; `packed` is what is put. */
static void visit(struct redis_mover *mover, enum mover_step step, struct span packed)
{
    const struct redis_route *at = steps[step].at_new ? mover->plan.to : mover->plan.from;
    struct redis_script call;
    mover->step = step;
    redis_moves_begin(&call, mover->store, steps[step].verb, span_str(mover->token),
                      &mover->plan.partitions);
    if (step == MOVER_PUT || step == MOVER_PUT_BEFORE || step == MOVER_PUT_LANE) {
        redis_script_word(&call, packed);
    } else if (step == MOVER_LANE || step == MOVER_LANE_BEFORE) {
        put_lane(mover, &call);
    } else if (step == MOVER_CLEAR || step == MOVER_TAKE || step == MOVER_SWEEP) {
        redis_script_word(&call, span_str(mover->cursor));
    }
    if (step == MOVER_TAKE) {
        redis_script_word(&call, buf_span(&mover->left));
    }
    mover->under_way = redis_script_run(&call, at, on_answer, mover) == 0;
    if (!mover->under_way) {
        end(mover);
    }
}

static void go(struct redis_mover *mover, enum mover_step step)
{
    visit(mover, step, span_of(NULL, 0));
}

static void set_cursor(struct redis_mover *mover, struct span cursor)
{
    snprintf(mover->cursor, sizeof(mover->cursor), "%.*s", SPAN_ARG(cursor));
}

static void scan_from_start(struct redis_mover *mover, enum mover_step step)
{
    mover->left.len = 0;
    set_cursor(mover, SPAN("0"));
    go(mover, step);
}

/* The lanes, one after the other, then what comes behind them. */
static void go_lane(struct redis_mover *mover, unsigned lane, enum mover_step step)
{
    while (lane < LANES_MOST && !moves_lane(mover, lane)) {
        lane++;
    }
    mover->lane = lane;
    if (lane < LANES_MOST) {
        go(mover, step);
    } else {
        go(mover, step == MOVER_LANE ? MOVER_CLOSE : MOVER_HOLD);
    }
}

/* Cuts "cursor bytes\nnames" off; what was taken is left. */
static struct span cut_taken(struct redis_mover *mover, struct span reply)
{
    struct span head = span_cut(&reply, '\n');
    uint64_t bytes = 0;
    set_cursor(mover, span_cut(&head, ' '));
    mover->left.len = 0;
    if (decimal_read(head, reply.len, &bytes)) {
        buf_append(&mover->left, span_of(reply.ptr, bytes));
        reply = span_skip(reply, bytes);
    }
    return reply;
}

static bool is_at_end(const struct redis_mover *mover)
{
    return strcmp(mover->cursor, "0") == 0 && mover->left.len == 0;
}

static void take_lane(struct redis_mover *mover, struct span reply)
{
    bool before = mover->step == MOVER_LANE_BEFORE;
    struct span last = span_cut(&reply, '\n');
    if (reply.len == 0) {
        go_lane(mover, mover->lane + 1, mover->step);
        return;
    }
    snprintf(mover->last[mover->lane], LANE_ID_MOST, "%.*s", SPAN_ARG(last));
    visit(mover, before ? MOVER_PUT_BEFORE : MOVER_PUT_LANE, reply);
}

static void take_scan(struct redis_mover *mover, struct span reply, enum mover_step next)
{
    set_cursor(mover, reply);
    if (!is_at_end(mover)) {
        go(mover, mover->step);
    } else if (next == MOVER_LANE_BEFORE) {
        go_lane(mover, 0, next);
    } else {
        go(mover, next);
    }
}

/* With store-replicas, what was accepted stays so: the new server's replicas have it before the old one gives it
 * up. */
static void go_commit(struct redis_mover *mover)
{
    if (mover->store->replicas == 0) {
        go(mover, MOVER_COMMIT);
        return;
    }
    mover->under_way = redis_link_replicated(mover->plan.to->link, on_copied, mover) == 0;
    if (!mover->under_way) {
        go(mover, MOVER_END);
    }
}

/* What follows on a step that was taken. */
static void go_on(struct redis_mover *mover, struct span reply)
{
    switch (mover->step) {
    case MOVER_BEGIN:
        if (mover->plan.to == NULL) {
            scan_from_start(mover, MOVER_SWEEP);
        } else {
            go(mover, MOVER_OPEN);
        }
        break;
    case MOVER_OPEN:
        scan_from_start(mover, MOVER_CLEAR);
        break;
    case MOVER_CLEAR:
        take_scan(mover, reply, MOVER_LANE_BEFORE);
        break;
    case MOVER_LANE_BEFORE:
    case MOVER_LANE:
        take_lane(mover, reply);
        break;
    case MOVER_PUT_BEFORE:
        go(mover, MOVER_LANE_BEFORE);
        break;
    case MOVER_PUT_LANE:
        go(mover, MOVER_LANE);
        break;
    case MOVER_HOLD:
        scan_from_start(mover, MOVER_TAKE);
        break;
    case MOVER_TAKE:
        visit(mover, MOVER_PUT, cut_taken(mover, reply));
        break;
    case MOVER_PUT:
        if (is_at_end(mover)) {
            go_lane(mover, 0, MOVER_LANE);
        } else {
            go(mover, MOVER_TAKE);
        }
        break;
    case MOVER_CLOSE:
        go_commit(mover);
        break;
    case MOVER_COMMIT:
        go(mover, MOVER_HERE);
        break;
    case MOVER_HERE:
        mover->done = true;
        go(mover, MOVER_END);
        break;
    case MOVER_SWEEP:
        take_scan(mover, reply, MOVER_END);
        mover->done = is_at_end(mover);
        break;
    case MOVER_END:
    case MOVER_OVER:
        end(mover);
        break;
    }
}

static void mover_free(struct redis_mover *mover)
{
    buf_free(&mover->left);
    event_free(mover->over);
    free(mover);
}

static void on_answer(void *arg, enum backend_answer answer, struct span reply)
{
    struct redis_mover *mover = arg;
    mover->under_way = false;
    bool taken = answer == BACKEND_OK && reply.len > 0;
    if (mover->gone) {
        mover_free(mover);
    } else if (mover->let_go || answer == BACKEND_LOST || (!taken && mover->step == MOVER_BEGIN)) {
        end(mover);
    } else if (!taken) {
        go(mover, MOVER_END);
    } else {
        go_on(mover, reply);
    }
}

static void on_copied(void *arg, enum backend_answer answer, struct span reply)
{
    struct redis_mover *mover = arg;
    (void)reply;
    mover->under_way = false;
    if (mover->gone) {
        mover_free(mover);
    } else if (mover->let_go || answer == BACKEND_LOST) {
        end(mover);
    } else {
        go(mover, answer == BACKEND_OK ? MOVER_COMMIT : MOVER_END);
    }
}

static void on_over(evutil_socket_t fd, short what, void *arg)
{
    struct redis_mover *mover = arg;
    struct store *store = mover->store;
    (void)fd, (void)what;
    store_enter(store);
    mover->fn(mover->arg, mover->done);
    store_leave(store);
}

struct redis_mover *redis_mover_new(struct store *store, const struct redis_mover_plan *plan,
                                    redis_mover_fn *fn, void *arg)
{
    struct redis_mover *mover = mem_zalloc(sizeof(*mover));
    mover->store = store;
    mover->plan = *plan;
    mover->fn = fn;
    mover->arg = arg;
    entropy_hex(mover->token, MOVER_TOKEN_DIGITS);
    mover->over = evtimer_new(store->base, on_over, mover);
    go(mover, MOVER_BEGIN);
    return mover;
}

void redis_mover_let_go(struct redis_mover *mover, unsigned shard)
{
    const struct redis_mover_plan *plan = &mover->plan;
    mover->let_go |= plan->from->shard == shard || (plan->to != NULL && plan->to->shard == shard);
}

void redis_mover_free(struct redis_mover **mover)
{
    struct redis_mover *gone = *mover;
    if (gone == NULL) {
        return;
    }
    *mover = NULL;
    event_del(gone->over);
    if (gone->under_way) {
        gone->gone = true; /* with its answer */
    } else {
        mover_free(gone);
    }
}
