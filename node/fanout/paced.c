#include "node/fanout/paced.h"

#include "store/base/clock.h"

enum {
    LEAST_GAP_US = 1000,
    PATIENCE_US = 1000 * 1000,  /* after this the next message goes out unconfirmed or not */
    STUCK_US = 3 * PATIENCE_US, /* a peer that confirmed nothing for so long does not read */
    MUST_FACTOR = 2,            /* what must not fall may fill the queue so many times over */
};

struct pacer {
    struct pacer_options options;
    struct event *tick;
    struct list waiting; /* struct paced, the first due first */
    struct outq_pool pool;
    uint64_t gap_us;
};

static bool may_send(struct paced *paced, uint64_t now)
{
    if (conn_unacked(paced->conn) == 0) {
        paced->clear_us = now;
        return now - paced->sent_us >= paced->pacer->gap_us;
    }
    return now - paced->sent_us >= PATIENCE_US;
}

static void set_tick(struct pacer *pacer, uint64_t now)
{
    if (list_empty(&pacer->waiting) || evtimer_pending(pacer->tick, NULL)) {
        return;
    }
    uint64_t due = LIST_ITEM(pacer->waiting.next, struct paced, waiting)->due_us;
    uint64_t wait_us = due > now ? due - now : 0;
    struct timeval wait = {.tv_sec = (time_t)(wait_us / 1000000),
                           .tv_usec = (suseconds_t)(wait_us % 1000000)};
    evtimer_add(pacer->tick, &wait);
}

/* Everybody waits equally long, so that the list stays in order. */
static void wait_turn(struct paced *paced, uint64_t now)
{
    struct pacer *pacer = paced->pacer;
    paced->due_us = now + pacer->gap_us;
    list_push_back(&pacer->waiting, &paced->waiting);
    set_tick(pacer, now);
}

static bool cut(struct paced *paced)
{
    metric_add(paced->pacer->options.metrics, METRIC_PACED_CUT, 1);
    conn_close(paced->conn);
    return false;
}

static bool put(struct paced *paced, struct chunk *chunk, uint64_t now)
{
    paced->sent_us = now;
    return conn_send(paced->conn, chunk) == 0 || cut(paced);
}

static void send_next(struct paced *paced, uint64_t now)
{
    if (may_send(paced, now)) {
        struct chunk *chunk = outq_first(&paced->queue);
        put(paced, chunk, now);
        outq_wrote(&paced->queue, &paced->pacer->pool, chunk->len);
    }
    if (paced->queue.count > 0) {
        wait_turn(paced, now);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct pacer *pacer = arg;
    uint64_t now = clock_monotonic_us();
    while (!list_empty(&pacer->waiting)) {
        struct paced *paced = LIST_ITEM(pacer->waiting.next, struct paced, waiting);
        if (paced->due_us > now) {
            break;
        }
        list_del(&paced->waiting);
        send_next(paced, now);
    }
    set_tick(pacer, now);
}

struct pacer *pacer_new(const struct pacer_options *options)
{
    struct pacer *pacer = mem_zalloc(sizeof *pacer);
    uint64_t gap_us = (uint64_t)options->gap_ms * 1000;
    pacer->options = *options;
    pacer->gap_us = gap_us > LEAST_GAP_US ? gap_us : LEAST_GAP_US;
    pacer->tick = evtimer_new(loop_base(options->loop), on_tick, pacer);
    list_init(&pacer->waiting);
    return pacer;
}

void pacer_free(struct pacer **pacer)
{
    if (*pacer != NULL) {
        event_free((*pacer)->tick);
        outq_pool_deinit(&(*pacer)->pool);
        free(*pacer);
        *pacer = NULL;
    }
}

void paced_init(struct paced *paced, struct pacer *pacer, struct conn *conn)
{
    *paced = (struct paced){.pacer = pacer, .conn = conn};
    list_init(&paced->waiting);
}

void paced_deinit(struct paced *paced)
{
    list_del(&paced->waiting);
    outq_drop(&paced->queue, &paced->pacer->pool, false);
}

/* There is no room for it. */
static bool refuse(struct paced *paced, enum paced_need need, uint64_t now)
{
    if (need == PACED_MUST || now - paced->clear_us > STUCK_US) {
        return cut(paced);
    }
    metric_add(paced->pacer->options.metrics, METRIC_PACED_DROPPED, 1);
    return false;
}

bool paced_send(struct paced *paced, struct chunk *chunk, enum paced_need need)
{
    struct pacer *pacer = paced->pacer;
    if (!pacer->options.on) {
        return conn_send(paced->conn, chunk) == 0 || cut(paced);
    }
    uint64_t now = clock_monotonic_us();
    if (paced->queue.count == 0 && may_send(paced, now)) {
        return put(paced, chunk, now);
    }
    size_t limit = pacer->options.limit * (need == PACED_MUST ? MUST_FACTOR : 1);
    if (paced->queue.bytes + chunk->len > limit) {
        return refuse(paced, need, now);
    }
    outq_push(&paced->queue, &pacer->pool, chunk);
    if (list_empty(&paced->waiting)) {
        wait_turn(paced, now);
    }
    return true;
}
