/* SPDX-License-Identifier: MIT */
#include "node/service/relay/paced.h"

#include "node/net/conn_path.h"
#include "store/base/clock.h"

enum {
    LEAST_GAP_US = 1000,
    QUICK_GAP_US = 30 * 1000, /* to a peer that is never late, while little waits */
    FOLLOW_MORE_US = 5 * 1000,
    CALM_GAP_US = 100 * 1000, /* to one that is, or that is not known yet */
    KNOWN_AFTER = 4,          /* confirmations */
    SPREAD_US = 200 * 1000,   /* what waits may take so long, where the least gap allows it */
    FIRST_LOOK_US = 1000,     /* after a message was sent */
    SOON_LOOK_US =
        4 * 1000,        /* later looks are a quarter of the time since apart, so much at most */
    SOON_US = 64 * 1000, /* within this time, */
    RAREST_LOOK_US = 50 * 1000,     /* and so much after it */
    OWN_TIMER_US = 36 * 1000,       /* a kernel (Linux) confirms 40 ms later of its own accord; */
    OWN_TIMER_WIDTH_US = 14 * 1000, /* so wide is what is seen of that */
    HASTE_US = 500 * 1000,          /* what waits longer may follow one that is on its way */
    URGENT_US = 2500 * 1000,        /* what waits so long does it as closely as may be */
    CAREFUL_US = 30 * 1000 * 1000,  /* after a packet was lost, when it may not */
};

struct item {
    struct list entry;
    struct chunk *chunk;
    uint64_t queued_us;
    enum relay_paced_kind kind;
};

/* What waits of one topic: [END] [BEGIN] and TALK anywhere. */
struct lane {
    struct map_node node; /* by the bytes of topic */
    struct list turn;
    struct list items;
    uint64_t topic;
    size_t bytes; /* of what may fall */
};

struct relay_pacer {
    struct relay_pacer_options options;
    uint64_t gap_us;
};

struct relay_pacer *relay_pacer_new(const struct relay_pacer_options *options)
{
    struct relay_pacer *pacer = mem_zalloc(sizeof(*pacer));
    uint64_t gap_us = (uint64_t)options->gap_ms * 1000;
    pacer->options = *options;
    pacer->gap_us = gap_us > LEAST_GAP_US ? gap_us : LEAST_GAP_US;
    return pacer;
}

void relay_pacer_free(struct relay_pacer **pacer)
{
    free(*pacer);
    *pacer = NULL;
}

/* ------------------------------------------------------------------------------------ lanes */

static struct item *first_item(const struct lane *lane)
{
    return LIST_ITEM(lane->items.next, struct item, entry);
}

static struct lane *find_lane(const struct relay_paced *paced, uint64_t topic)
{
    struct map_node *node = map_find(&paced->lanes, span_of(&topic, sizeof(topic)));
    return node != NULL ? MAP_ENTRY(node, struct lane, node) : NULL;
}

static struct lane *lane_of(struct relay_paced *paced, uint64_t topic)
{
    struct lane *had = find_lane(paced, topic);
    if (had != NULL) {
        return had;
    }
    struct lane *lane = mem_zalloc(sizeof(*lane));
    lane->topic = topic;
    list_init(&lane->items);
    list_push_back(&paced->turns, &lane->turn);
    map_insert(&paced->lanes, &lane->node, span_of(&lane->topic, sizeof(lane->topic)));
    return lane;
}

static void free_if_empty(struct relay_paced *paced, struct lane *lane)
{
    if (list_empty(&lane->items)) {
        list_del(&lane->turn);
        map_remove(&paced->lanes, &lane->node);
        free(lane);
    }
}

static size_t bytes_of(const struct item *item)
{
    return item->kind == PACED_TALK ? item->chunk->len + sizeof(*item) : 0;
}

static void item_free(struct relay_paced *paced, struct lane *lane, struct item *item)
{
    lane->bytes -= bytes_of(item);
    paced->bytes -= bytes_of(item);
    paced->count--;
    list_del(&item->entry);
    chunk_unref(item->chunk);
    free(item);
}

static void drop_item(struct relay_paced *paced, struct lane *lane, struct item *item)
{
    metrics_add(paced->pacer->options.metrics, METRIC_PACED_DROPPED, 1);
    item_free(paced, lane, item);
}

/* What waited too long at the front of the lane. */
static void drop_old(struct relay_paced *paced, struct lane *lane, uint64_t now)
{
    while (!list_empty(&lane->items) && first_item(lane)->kind == PACED_TALK &&
           now - first_item(lane)->queued_us > PACED_AGE_MS * 1000ULL) {
        drop_item(paced, lane, first_item(lane));
    }
}

static struct lane *largest_lane(struct relay_paced *paced)
{
    struct lane *most = LIST_ITEM(paced->turns.next, struct lane, turn);
    LIST_EACH(it, &paced->turns) {
        struct lane *lane = LIST_ITEM(it, struct lane, turn);
        most = lane->bytes > most->bytes ? lane : most;
    }
    return most;
}

static void drop_oldest_talk(struct relay_paced *paced, struct lane *lane)
{
    LIST_EACH(it, &lane->items) {
        struct item *item = LIST_ITEM(it, struct item, entry);
        if (item->kind == PACED_TALK) {
            drop_item(paced, lane, item);
            break;
        }
    }
    free_if_empty(paced, lane);
}

/* The topic ends: where its beginning still waits, that and all that follows goes. True when there
 * is nothing left to tell of it. */
static bool fold(struct relay_paced *paced, struct lane *lane)
{
    bool found = false;
    LIST_EACH(it, &lane->items) {
        struct item *item = LIST_ITEM(it, struct item, entry);
        found = found || item->kind == PACED_BEGIN;
        if (found) {
            item_free(paced, lane, item);
        }
    }
    return found;
}

static void put_in_lane(struct relay_paced *paced, struct lane *lane, struct chunk *chunk,
                        enum relay_paced_kind kind, uint64_t queued_us)
{
    struct item *item = mem_zalloc(sizeof(*item));
    *item = (struct item){.chunk = chunk_ref(chunk), .queued_us = queued_us, .kind = kind};
    list_push_back(&lane->items, &item->entry);
    lane->bytes += bytes_of(item);
    paced->bytes += bytes_of(item);
    paced->count++;
}

/* More is to be told of a topic whose beginning waits in the line: from now on it has a lane. */
static void leave_line(struct relay_paced *paced, uint64_t topic)
{
    struct relay_begin *begin;
    while ((begin = relay_begins_take(&paced->begins, topic)) != NULL) {
        paced->count--;
        put_in_lane(paced, lane_of(paced, topic), begin->chunk, PACED_BEGIN, begin->queued_us);
        relay_begin_unref(begin);
    }
}

static void queue(struct relay_paced *paced, struct chunk *chunk, struct relay_paced_mark mark,
                  uint64_t now)
{
    leave_line(paced, mark.topic);
    struct lane *lane = lane_of(paced, mark.topic);
    drop_old(paced, lane, now);
    if (mark.kind == PACED_END && fold(paced, lane)) {
        free_if_empty(paced, lane);
        return;
    }
    put_in_lane(paced, lane, chunk, mark.kind, now);
    while (paced->bytes > paced->pacer->options.limit) {
        drop_oldest_talk(paced, largest_lane(paced));
    }
}

static void drop_all(struct relay_paced *paced)
{
    MAP_EACH(it, &paced->lanes) {
        struct lane *lane = MAP_ENTRY(it, struct lane, node);
        LIST_EACH(item, &lane->items) {
            item_free(paced, lane, LIST_ITEM(item, struct item, entry));
        }
        free_if_empty(paced, lane);
    }
    paced->count -= relay_begins_count(&paced->begins);
    relay_begins_clear(&paced->begins);
}

/* ------------------------------------------------------------------------------------ sending */

static bool cut(struct relay_paced *paced)
{
    if (paced->over) {
        return false;
    }
    paced->over = true;
    metrics_add(paced->pacer->options.metrics, METRIC_PACED_CUT, 1);
    event_del(&paced->look);
    drop_all(paced);
    conn_drop_queue(paced->conn);
    conn_poke(paced->conn);
    return false;
}

static void look_in(struct relay_paced *paced, uint64_t us)
{
    struct timeval wait = {.tv_sec = (time_t)(us / 1000000),
                           .tv_usec = (suseconds_t)(us % 1000000)};
    evtimer_add(&paced->look, &wait);
}

/* Between two messages of which the first is not confirmed: what the least gap is for, and as much
 * again for what the way does to them; less of that the longer something has waited, before it has to
 * fall, but not less than by how much round trips vary. */
static uint64_t follow_gap_us(const struct relay_paced *paced, uint64_t waited_us,
                              uint64_t varies_us)
{
    uint64_t least = paced->pacer->gap_us + FOLLOW_MORE_US;
    uint64_t spare = paced->pacer->gap_us;
    uint64_t urgency = waited_us > HASTE_US ? waited_us - HASTE_US : 0;
    urgency = urgency < URGENT_US - HASTE_US ? urgency : URGENT_US - HASTE_US;
    uint64_t left = spare - spare * urgency / (URGENT_US - HASTE_US);
    uint64_t uneven = varies_us < spare ? varies_us : spare;
    return least + (left > uneven ? left : uneven);
}

static bool put(struct relay_paced *paced, struct chunk *chunk, uint64_t now)
{
    if (conn_send(paced->conn, chunk) != 0) {
        return cut(paced);
    }
    uint64_t look = paced->quickest_us - paced->quickest_us / 8;
    paced->clear = false;
    paced->sent_us = paced->moved_us = now;
    paced->sent_len = chunk->len;
    paced->heard_us = 0;
    paced->unacked = 0;
    uint64_t follow = follow_gap_us(paced, URGENT_US, 0); /* another may have to */
    look = look < follow ? look : follow;
    look_in(paced, look > FIRST_LOOK_US ? look : FIRST_LOOK_US);
    return true;
}

/* What waited longer, and between two of the line one of a lane. */
static bool line_is_next(const struct relay_paced *paced)
{
    const struct relay_begin *begin = relay_begins_first(&paced->begins);
    if (begin == NULL || list_empty(&paced->turns)) {
        return begin != NULL;
    }
    const struct lane *lane = LIST_ITEM(paced->turns.next, struct lane, turn);
    return !paced->began && begin->queued_us <= first_item(lane)->queued_us;
}

static void send_begin(struct relay_paced *paced, uint64_t now)
{
    struct chunk *chunk = chunk_ref(relay_begins_first(&paced->begins)->chunk);
    relay_begins_shift(&paced->begins);
    paced->count--;
    paced->began = true;
    put(paced, chunk, now);
    chunk_unref(chunk);
}

/* The next message of the line, or of the lane whose turn it is; nothing when all that waited was too
 * old. */
static void send_next(struct relay_paced *paced, uint64_t now)
{
    if (line_is_next(paced)) {
        send_begin(paced, now);
        return;
    }
    paced->began = false;
    while (!list_empty(&paced->turns)) {
        struct lane *lane = LIST_ITEM(paced->turns.next, struct lane, turn);
        drop_old(paced, lane, now);
        list_del(&lane->turn);
        list_push_back(&paced->turns, &lane->turn);
        if (!list_empty(&lane->items)) {
            struct item *item = first_item(lane);
            struct chunk *chunk = chunk_ref(item->chunk);
            item_free(paced, lane, item);
            free_if_empty(paced, lane);
            put(paced, chunk, now);
            chunk_unref(chunk);
            return;
        }
        free_if_empty(paced, lane);
    }
    if (relay_begins_count(&paced->begins) > 0) {
        send_begin(paced, now);
    }
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* From when a quick peer would have confirmed a message to the next one. However much waits, a peer
 * whose last confirmations were late gets so much more time. */
static uint64_t gap_us(const struct relay_paced *paced)
{
    uint64_t least = paced->pacer->gap_us, most = most_of(least, CALM_GAP_US);
    uint64_t rhythm = paced->confirmed < KNOWN_AFTER ? CALM_GAP_US : QUICK_GAP_US + paced->late_us;
    uint64_t spread = least_of(rhythm, SPREAD_US / (paced->count > 0 ? paced->count : 1));
    return paced->hurried ? least : least_of(most_of(spread, least + paced->late_us), most);
}

/* When the next message may go, all being confirmed. A late confirmation takes nothing from the time to
 * read in which it was awaited. */
static uint64_t due_us(const struct relay_paced *paced)
{
    uint64_t least = paced->pacer->gap_us;
    uint64_t due =
        most_of(paced->clear_us + least, paced->sent_us + paced->quickest_us + gap_us(paced));
    uint64_t spoke = paced->heard_us + least + paced->late_us;
    return paced->heard_us != 0 ? least_of(due, spoke) : due;
}

/* What a confirmation that took so much longer than others tells of the program: a kernel that has no
 * other reason to confirm does it by a timer of its own, whether or not there was a reader. */
static uint64_t lateness_us(uint64_t late)
{
    if (late < OWN_TIMER_US) {
        return late;
    }
    return late < OWN_TIMER_US + OWN_TIMER_WIDTH_US ? 0 : late - OWN_TIMER_US;
}

/* All was confirmed at last: how long did that take, for this peer? */
static void learn_rhythm(struct relay_paced *paced, uint64_t now)
{
    uint64_t took = now - paced->sent_us, late = 0;
    if (paced->confirmed == 0 || took < paced->quickest_us) {
        paced->quickest_us = took;
    } else {
        late = lateness_us(took - paced->quickest_us);
        paced->quickest_us += (took - paced->quickest_us) / 64; /* the way may have become longer */
    }
    paced->late_us /= 2;
    paced->late_us = late > paced->late_us ? late : paced->late_us;
    paced->confirmed += paced->confirmed < KNOWN_AFTER ? 1 : 0;
}

/* Since when the message waits that has waited longest. */
static uint64_t oldest_us(struct relay_paced *paced)
{
    const struct relay_begin *begin = relay_begins_first(&paced->begins);
    uint64_t oldest = begin != NULL ? begin->queued_us : UINT64_MAX;
    LIST_EACH(it, &paced->turns) {
        const struct lane *lane = LIST_ITEM(it, struct lane, turn);
        oldest = least_of(oldest, first_item(lane)->queued_us);
    }
    return oldest;
}

/* Would the kernel let a message leave at once? Some of its rules against congestion hold few back for
 * some time (BBR: 4 in flight, 200 ms long), and the next one would come close behind. */
static bool leaves_at_once(const struct relay_paced *paced, const struct conn_path *path,
                           uint64_t since_us)
{
    return path->held == 0 && path->in_flight < path->window &&
           paced->sent_len * 1000000ULL / most_of(path->rate, 1) <= since_us;
}

/* May a message follow one that is not confirmed yet? Only on a long and even way, on which nothing was
 * lost lately: what comes late stops what is behind it, and then both are read as one. */
static bool may_follow(struct relay_paced *paced, uint64_t now)
{
    struct conn_path path;
    uint64_t waited = paced->count > 0 ? now - oldest_us(paced) : 0;
    if (waited < HASTE_US || now - paced->sent_us < follow_gap_us(paced, waited, 0) ||
        !conn_path(paced->conn, &path)) {
        return false;
    }
    if (path.lost != paced->lost) {
        paced->lost = path.lost;
        paced->lost_us = now;
    }
    uint64_t gap = follow_gap_us(paced, waited, path.varies_us);
    bool careful = paced->lost_us != 0 && now - paced->lost_us < CAREFUL_US;
    bool even = path.round_trip_us > gap && path.varies_us < path.round_trip_us / 4;
    paced->sent_us = path.held > 0 ? now : paced->sent_us; /* it leaves later than now */
    return even && !careful && now - paced->sent_us >= gap &&
           leaves_at_once(paced, &path, now - paced->sent_us) &&
           path.in_flight <= path.round_trip_us / gap + 1;
}

/* Is all confirmed? Else comes back to look, or loses patience. */
static bool is_clear(struct relay_paced *paced, uint64_t now)
{
    size_t unacked = paced->clear ? 0 : conn_unacked(paced->conn);
    if (unacked == 0) {
        if (!paced->clear) {
            paced->clear_us = now;
            learn_rhythm(paced, now);
        }
        paced->clear = true;
        return true;
    }
    if (unacked != paced->unacked) {
        paced->unacked = unacked;
        paced->moved_us = now;
    }
    if (now - paced->moved_us >= PACED_PATIENCE_MS * 1000ULL) {
        cut(paced);
        return false;
    }
    uint64_t over = now - paced->sent_us;
    over -= least_of(over, paced->quickest_us);
    uint64_t wait = most_of(over / 4, FIRST_LOOK_US);
    look_in(paced, least_of(wait, over < SOON_US ? SOON_LOOK_US : RAREST_LOOK_US));
    return false;
}

/* The clock is read here, per peer: a turn may take long, and a peer late in it would be sent two
 * messages closer together than the gap. */
static void go_on(struct relay_paced *paced)
{
    uint64_t now = clock_monotonic_us();
    if (!is_clear(paced, now)) {
        if (!paced->over && may_follow(paced, now)) {
            send_next(paced, now);
        }
        return;
    }
    if (paced->count == 0) {
        return;
    }
    uint64_t due = due_us(paced);
    if (now < due) {
        look_in(paced, due - now);
        return;
    }
    send_next(paced, now);
    if (paced->count == 0 && paced->hurried) {
        conn_poke(paced->conn);
    }
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    go_on(arg);
}

void relay_paced_init(struct relay_paced *paced, struct relay_pacer *pacer, struct conn *conn)
{
    *paced = (struct relay_paced){.pacer = pacer, .conn = conn, .clear = true};
    list_init(&paced->turns);
    map_init(&paced->lanes);
    evtimer_assign(&paced->look, loop_base(pacer->options.loop), on_look, paced);
}

void relay_paced_deinit(struct relay_paced *paced)
{
    event_del(&paced->look);
    drop_all(paced);
    map_deinit(&paced->lanes);
}

static bool is_paced(const struct relay_paced *paced)
{
    return paced->pacer->options.on && !paced->unpaced;
}

/* Something was queued. */
static bool queued(struct relay_paced *paced)
{
    if (!evtimer_pending(&paced->look, NULL)) {
        go_on(paced);
    }
    return !paced->over;
}

bool relay_paced_send(struct relay_paced *paced, struct chunk *chunk, struct relay_paced_mark mark)
{
    if (paced->over) {
        return false;
    }
    if (!is_paced(paced)) {
        return conn_send(paced->conn, chunk) == 0 || cut(paced);
    }
    queue(paced, chunk, mark, clock_monotonic_us());
    return queued(paced);
}

bool relay_paced_send_begin(struct relay_paced *paced, struct relay_begin *begin)
{
    const struct relay_paced_mark mark = {.topic = begin->topic, .kind = PACED_BEGIN};
    if (paced->over || !is_paced(paced) || find_lane(paced, begin->topic) != NULL) {
        return relay_paced_send(paced, begin->chunk, mark);
    }
    relay_begins_push(&paced->begins, begin);
    paced->count++;
    return queued(paced);
}

bool relay_paced_is_cut(const struct relay_paced *paced)
{
    return paced->over;
}

void relay_paced_let_go(struct relay_paced *paced)
{
    paced->unpaced = true;
}

void relay_paced_wrote(struct relay_paced *paced)
{
    if (!paced->clear) {
        paced->sent_us = paced->moved_us = clock_monotonic_us();
    }
}

void relay_paced_heard(struct relay_paced *paced)
{
    if (!paced->clear && conn_unacked(paced->conn) == 0) {
        paced->clear = true; /* that came with what it said, which tells nothing of its rhythm */
        paced->clear_us = clock_monotonic_us();
    }
    if (!paced->clear || paced->heard_us != 0) {
        return; /* it may have said so before it got the last one */
    }
    paced->heard_us = clock_monotonic_us();
    if (paced->count > 0) {
        evtimer_del(&paced->look);
        go_on(paced);
    }
}

void relay_paced_hurry(struct relay_paced *paced)
{
    paced->hurried = true;
    if (paced->count > 0) {
        evtimer_del(&paced->look);
        go_on(paced);
    }
}

uint32_t relay_paced_waiting(const struct relay_paced *paced)
{
    return paced->count;
}
