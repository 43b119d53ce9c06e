/* SPDX-License-Identifier: MIT */
#include "node/service/relay/paced.h"

#include "node/net/conn_path.h"
#include "node/net/net.h"
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
    LOOKING_US = 500,               /* of a turn, until no more peers are looked at in it, but */
    LOOKS_LEAST = 16,               /* so many in each */
};

struct relay_pacer {
    struct relay_pacer_options options;
    uint64_t gap_us;
    uint64_t turn;  /* of the loop, in which a peer was looked at last, */
    uint32_t looks; /* and how many were */
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

/* ------------------------------------------------------------------------------------ sending */

static bool cut(struct relay_paced *paced)
{
    if (paced->over) {
        return false;
    }
    paced->over = true;
    metrics_add(paced->pacer->options.metrics, METRIC_PACED_CUT, 1);
    event_del(&paced->look);
    relay_queue_clear(&paced->queue);
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

/* Many peers are told the same: what goes to few is written before it. */
static bool send_late(struct relay_paced *paced, struct chunk *chunk)
{
    struct net *net = conn_net(paced->conn);
    bool bulk = net_send_bulk(net, true);
    int rc = conn_send(paced->conn, chunk);
    net_send_bulk(net, bulk);
    return rc == 0 || cut(paced);
}

static bool put(struct relay_paced *paced, struct chunk *chunk, uint64_t now)
{
    if (!send_late(paced, chunk)) {
        return false;
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

/* The next message; nothing when all that waited was too old. */
static void send_next(struct relay_paced *paced, uint64_t now)
{
    struct chunk *chunk = relay_queue_take(&paced->queue, now);
    if (chunk != NULL) {
        put(paced, chunk, now);
        chunk_unref(chunk);
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
    uint64_t spread =
        least_of(rhythm, SPREAD_US / (paced->queue.count > 0 ? paced->queue.count : 1));
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
    if (paced->queue.count == 0 || conn_queued(paced->conn) > 0 || /* that one has not even left */
        now - paced->sent_us < paced->pacer->gap_us + FOLLOW_MORE_US) {
        return false;
    }
    uint64_t waited = now - relay_queue_oldest_us(&paced->queue);
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
    if (paced->queue.count == 0) {
        return;
    }
    uint64_t due = due_us(paced);
    if (now < due) {
        look_in(paced, due - now);
        return;
    }
    send_next(paced, now);
    if (paced->queue.count == 0 && paced->hurried) {
        conn_poke(paced->conn);
    }
}

/* May another peer be looked at in this turn? */
static bool has_turn(struct relay_pacer *pacer)
{
    struct loop *loop = pacer->options.loop;
    if (pacer->turn != loop_turn(loop)) {
        pacer->turn = loop_turn(loop);
        pacer->looks = 0;
    }
    if (pacer->looks >= LOOKS_LEAST && loop_turn_us(loop) >= LOOKING_US) {
        pacer->looks = RELAY_PACED_LOOKS_MOST;
    }
    return pacer->looks < RELAY_PACED_LOOKS_MOST;
}

/* Of thousands of peers that were told something at once, many are due at once. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct relay_paced *paced = arg;
    loop_awake(paced->pacer->options.loop);
    if (has_turn(paced->pacer)) {
        paced->pacer->looks++;
        go_on(paced);
    } else {
        look_in(paced, 0);
    }
}

void relay_paced_init(struct relay_paced *paced, struct relay_pacer *pacer, struct conn *conn)
{
    *paced = (struct relay_paced){.pacer = pacer, .conn = conn, .clear = true};
    relay_queue_init(&paced->queue, pacer->options.metrics, pacer->options.limit);
    evtimer_assign(&paced->look, loop_base(pacer->options.loop), on_look, paced);
}

void relay_paced_deinit(struct relay_paced *paced)
{
    event_del(&paced->look);
    relay_queue_deinit(&paced->queue);
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
        return send_late(paced, chunk);
    }
    relay_queue_put(&paced->queue, chunk, mark, clock_monotonic_us());
    return queued(paced);
}

bool relay_paced_send_notice(struct relay_paced *paced, struct relay_notice *notice)
{
    if (paced->over || !is_paced(paced) || !relay_queue_put_notice(&paced->queue, notice)) {
        return relay_paced_send(paced, notice->chunk, notice->mark);
    }
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
    if (paced->queue.count > 0) {
        evtimer_del(&paced->look);
        go_on(paced);
    }
}

void relay_paced_hurry(struct relay_paced *paced)
{
    paced->hurried = true;
    if (paced->queue.count > 0) {
        evtimer_del(&paced->look);
        go_on(paced);
    }
}

uint32_t relay_paced_waiting(const struct relay_paced *paced)
{
    return paced->queue.count;
}
