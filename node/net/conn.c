/* SPDX-License-Identifier: MIT */
#include "node/net/conn.h"

#include "node/net/conn_impl.h"
#include "node/net/conn_path.h"
#include "store/base/check.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MOST_IOVECS = 64,
    CONN_WRITES_PER_TURN = 4, /* of MOST_IOVECS chunks each; then others have their turn */
    EOF_LINGER_MS = 10 * 1000,
    LEAVE_LINGER_MS = 2 * 1000,
    STALL_MS =
        10 * 1000,  /* at least, between two looks whether the peer takes what is left for it */
    HEAVY_US = 100, /* a read that takes so long makes a connection heavy, */
    HEAVY_BYTES = 16 * 1024, /* or after which so much more waits for its peer; */
    LIGHT_US = 40,           /* one so short light again, or, after so many bytes in one, */
    LONG_BYTES = 4 * 1024,
    LONG_READS = 8,         /* so many: a long message ends with a short one; */
    HEAVY_READ = 16 * 1024, /* bytes of one until then */
    UNREAD_US = 120,        /* of a turn, for asking the kernel to say no more of those in line */
};

static void on_event(evutil_socket_t fd, short what, void *arg);

static void drop_queue(struct conn *conn, bool keep_started, enum metric_id reason)
{
    uint32_t before = conn->out.ring.count;
    outq_drop(&conn->out, &conn->net->pool, keep_started);
    metrics_add(conn->net->metrics, reason, before - conn->out.ring.count);
}

static void end(struct conn *conn, enum conn_end how)
{
    if (conn->state == CONN_DEAD) {
        return;
    }
    conn->state = CONN_DEAD;
    conn->end = (uint8_t)how;
    event_del(&conn->event);
    wheel_cancel(&conn->timer);
    drop_queue(conn, false, METRIC_QUEUE_DROPPED_GONE);
    list_del(&conn->dirty);
    list_del(&conn->todo);
    list_push_back(&conn->net->gone, &conn->todo);
    loop_again(conn->net->loop);
}

/* Asks libevent for what this state waits for. Nothing is read past what is kept: it was here first,
 * and conn_do_todo comes here again when it was given. */
static void wait_for_events(struct conn *conn)
{
    bool takes = conn->paused == 0 && conn->held == NULL;
    bool reads = !conn->peer_eof && !conn->unread && (takes || conn->state != CONN_OPEN);
    short events = (short)((reads ? EV_READ : 0) | (conn->blocked ? EV_WRITE : 0));
    if (conn->state == CONN_DEAD || event_get_events(&conn->event) == (events | EV_PERSIST)) {
        return;
    }
    event_del(&conn->event);
    event_assign(&conn->event, loop_base(conn->net->loop), event_get_fd(&conn->event),
                 (short)(events | EV_PERSIST), on_event, conn);
    if (events != 0) {
        event_add(&conn->event, NULL);
    }
}

/* A slow peer gets all that is left for it, one that stands still does not keep it. */
static void await_progress(struct conn *conn)
{
    CHECK(conn->state == CONN_FINISHING); /* the union holds how it ends, not its limits */
    conn->taken = conn_taken(conn, 0);
    wheel_set(conn->net->wheel, &conn->timer,
              conn->linger_ms > STALL_MS ? conn->linger_ms : STALL_MS);
}

static void on_timer(struct wheel_timer *timer)
{
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);
    if (conn->state == CONN_FINISHING && conn_takes(conn, 0, &conn->taken)) {
        await_progress(conn);
    } else if (conn->state == CONN_FINISHING) {
        conn_reset(conn); /* it shall not take what came through for all that there was */
    } else if (conn->state != CONN_OPEN) {
        end(conn, CONN_END_LOCAL); /* lingered long enough */
    } else if (conn->handler->timer != NULL) {
        conn->net->sends_bulk = true; /* thousands may be asked, or told to go, in one moment */
        conn->handler->timer(conn->arg);
        conn->net->sends_bulk = false;
    }
}

static void enter(struct net *net, struct conn *conn)
{
    conn->id = ++net->last_id;
    list_push_back(&net->all, &conn->all);
    admission_add(&net->admission, &conn->peer);
    metrics_add(net->metrics, METRIC_CONNS_OPENED, 1);
    metrics_set(net->metrics, METRIC_CONNS, net->admission.count);
}

static void leave(struct net *net, struct conn *conn)
{
    list_del(&conn->all);
    net->leaving -= conn->leaving ? 1 : 0;
    admission_remove(&net->admission, &conn->peer);
    metrics_set(net->metrics, METRIC_CONNS, net->admission.count);
}

struct conn *conn_new(struct net *net, int fd, const struct address *peer,
                      const struct conn_handler *handler, void *arg)
{
    struct conn *conn = mem_zalloc(sizeof(*conn));
    conn->net = net;
    conn->handler = handler;
    conn->arg = arg;
    conn->peer = *peer;
    list_init(&conn->todo);
    list_init(&conn->dirty);
    wheel_timer_init(&conn->timer, on_timer);
    event_assign(&conn->event, loop_base(net->loop), fd, EV_READ | EV_PERSIST, on_event, conn);
    event_add(&conn->event, NULL);
    enter(net, conn);
    return conn;
}

void conn_set_handler(struct conn *conn, const struct conn_handler *handler, void *arg)
{
    conn->handler = handler;
    conn->arg = arg;
}

static void conn_free(struct conn *conn)
{
    CHECK(conn->state == CONN_DEAD && list_empty(&conn->todo) && list_empty(&conn->dirty));
    close(event_get_fd(&conn->event));
    if (conn->held != NULL) {
        buf_free(conn->held);
        free(conn->held);
    }
    leave(conn->net, conn);
    free(conn);
}

/* ------------------------------------------------------------------------------------ reading */

/* It is settled when this turn ends, whatever it stood in line for. */
static void need_todo(struct conn *conn)
{
    list_del(&conn->todo);
    list_push_back(&conn->net->todo, &conn->todo);
    loop_again(conn->net->loop);
}

static bool goes_first(const struct conn *conn)
{
    return conn->member && conn->heavy == 0;
}

/* Its bytes are read when it is its turn. */
static void stand_in_line(struct conn *conn)
{
    if (list_empty(&conn->todo)) {
        struct net *net = conn->net;
        list_push_back(goes_first(conn) ? &net->front : &net->back, &conn->todo);
    }
}

static void need_turn(struct conn *conn)
{
    stand_in_line(conn);
    loop_again(conn->net->loop);
}

static void hold(struct conn *conn, struct span rest)
{
    if (conn->held == NULL) {
        conn->held = mem_zalloc(sizeof(*conn->held));
    }
    buf_append(conn->held, rest);
}

static void give(struct conn *conn, struct span bytes)
{
    size_t taken = conn->handler->data(conn->arg, bytes);
    CHECK(taken <= bytes.len);
    if (taken < bytes.len && conn->state == CONN_OPEN) {
        hold(conn, span_skip(bytes, taken));
        if (conn->paused == 0) {
            need_turn(conn); /* resumed meanwhile: what is kept comes before what is read next */
        }
    }
}

static void give_held(struct conn *conn)
{
    struct buf *held = conn->held;
    conn->held = NULL;
    give(conn, buf_span(held));
    buf_free(held);
    free(held);
}

static void read_end(struct conn *conn)
{
    conn->peer_eof = true;
    if (conn->out.ring.count == 0 || !conn->handler->half_open) {
        end(conn, conn->state == CONN_OPEN ? CONN_END_PEER : CONN_END_LOCAL);
    } else {
        conn_finish(conn, EOF_LINGER_MS); /* it may still read what it asked for */
        wait_for_events(conn);
    }
}

/* One read per turn: level-triggered events bring the rest, after the others' turn. */
static void read_some(struct conn *conn)
{
    char *buffer = conn->net->read_buffer;
    bool limited = conn->state == CONN_OPEN && conn->read_limit > 0;
    size_t most = conn->heavy > 0 ? HEAVY_READ : READ_BUFFER;
    most = limited && conn->read_limit < most ? conn->read_limit : most;
    ssize_t n = recv(event_get_fd(&conn->event), buffer, most, 0);
    if (n == 0) {
        read_end(conn);
    } else if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            end(conn, CONN_END_ERROR);
        }
    } else if (conn->state == CONN_OPEN) {
        metrics_add(conn->net->metrics, METRIC_BYTES_IN, (uint64_t)n);
        give(conn, span_of(buffer, (size_t)n));
    }
}

/* What a connection had cost before a read. */
struct cost {
    uint64_t us;
    size_t queued;
    uint64_t read; /* bytes, of all */
};

static struct cost cost_so_far(const struct conn *conn)
{
    return (struct cost){loop_turn_us(conn->net->loop), conn->out.bytes,
                         conn->net->metrics->value[METRIC_BYTES_IN]};
}

/* One that takes long, or has much written for it, waits behind those that do not. */
static void weigh(struct conn *conn, const struct cost *before)
{
    struct cost now = cost_so_far(conn);
    uint64_t us = now.us - before->us;
    bool costs = conn->costly || us > HEAVY_US || now.queued > before->queued + HEAVY_BYTES;
    if (costs) {
        conn->heavy = now.read - before->read >= LONG_BYTES ? LONG_READS : 1;
    } else if (conn->heavy > 0 && us <= LIGHT_US) {
        conn->heavy--;
    }
    conn->costly = false;
}

/* ------------------------------------------------------------------------------------ writing */

static void written(struct conn *conn)
{
    conn->blocked = false;
    if (conn->state == CONN_FINISHING && conn->peer_eof) {
        end(conn, CONN_END_LOCAL);
    } else if (conn->state == CONN_FINISHING) {
        conn->state = CONN_SHUT;
        wheel_set(conn->net->wheel, &conn->timer, conn->linger_ms);
        shutdown(event_get_fd(&conn->event), SHUT_WR);
    } else if (conn->state == CONN_OPEN && conn->handler->drained != NULL) {
        conn->handler->drained(conn->arg);
    }
}

/* One write. Above 0: go on; 0: the kernel took no more; below 0: it failed. */
static int write_some(struct conn *conn)
{
    struct iovec iov[MOST_IOVECS];
    size_t wanted = 0;
    struct msghdr message = {.msg_iov = iov};
    message.msg_iovlen = (size_t)outq_peek(&conn->out, iov, MOST_IOVECS);
    for (size_t i = 0; i < message.msg_iovlen; i++) {
        wanted += iov[i].iov_len;
    }
    ssize_t n = message.msg_iovlen == 1
                    ? send(event_get_fd(&conn->event), iov[0].iov_base, wanted, MSG_NOSIGNAL)
                    : sendmsg(event_get_fd(&conn->event), &message, MSG_NOSIGNAL);
    metrics_add(conn->net->metrics, METRIC_WRITES, 1);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    metrics_add(conn->net->metrics, METRIC_BYTES_OUT, (uint64_t)n);
    outq_wrote(&conn->out, &conn->net->pool, (size_t)n);
    return (size_t)n == wanted ? 1 : 0;
}

/* A write failed: the peer has closed, or is gone. Bytes that it sent before may still lie in the
 * socket, behind a pause of ours. */
static bool hears_out(struct conn *conn)
{
    if (conn->state != CONN_OPEN || conn->peer_eof || !conn->handler->hear_out) {
        return false;
    }
    conn->deaf = true;
    outq_drop(&conn->out, &conn->net->pool, false);
    return true;
}

void conn_flush(struct conn *conn)
{
    int more = 1;
    list_del(&conn->dirty);
    for (int i = 0; i < CONN_WRITES_PER_TURN && more > 0 && conn->out.ring.count > 0; i++) {
        more = write_some(conn);
    }
    if (more < 0 && !hears_out(conn)) {
        end(conn, CONN_END_ERROR);
        return;
    }
    conn->blocked = conn->out.ring.count > 0;
    if (conn->blocked) {
        list_del(&conn->dirty);
        list_push_back(&conn->net->blocked, &conn->dirty);
    } else {
        written(conn);
    }
    wait_for_events(conn);
}

static void make_dirty(struct conn *conn)
{
    struct net *net = conn->net;
    bool hurries = conn->bulk && !net->sends_bulk; /* what goes to few takes the rest with it */
    if (conn->blocked || !(list_empty(&conn->dirty) || hurries)) {
        return;
    }
    list_del(&conn->dirty);
    conn->bulk = net->sends_bulk;
    list_push_back(conn->bulk ? &net->bulk : &net->dirty, &conn->dirty);
}

int conn_send(struct conn *conn, struct chunk *chunk)
{
    if (conn->state != CONN_OPEN || conn->deaf || chunk->len == 0) {
        return 0;
    }
    /* One chunk may always wait: a limit on the queue is none on the message. */
    size_t limit = conn->queue_limit > 0 ? conn->queue_limit : conn->net->admission.limits.queue;
    if (conn->out.ring.count > 0 && conn->out.bytes + chunk->len > limit) {
        return -1;
    }
    conn->net->sends++;
    conn->net->queued += chunk->len;
    outq_push(&conn->out, &conn->net->pool, chunk);
    make_dirty(conn);
    return 0;
}

void conn_set_queue_limit(struct conn *conn, size_t bytes)
{
    CHECK(bytes <= UINT32_MAX);
    if (conn->state == CONN_OPEN) {
        conn->queue_limit = (uint32_t)bytes;
    }
}

void conn_set_read_limit(struct conn *conn, size_t bytes)
{
    if (conn->state == CONN_OPEN) {
        conn->read_limit = (uint32_t)(bytes < READ_BUFFER ? bytes : READ_BUFFER);
    }
}

size_t conn_queued(const struct conn *conn)
{
    return conn->out.bytes;
}

size_t conn_unacked(const struct conn *conn)
{
    int in_socket = 0;
    if (ioctl(event_get_fd(&conn->event), SIOCOUTQ, &in_socket) != 0 || in_socket < 0) {
        in_socket = 0;
    }
    return conn->out.bytes + (size_t)in_socket;
}

bool conn_path(const struct conn *conn, struct conn_path *path)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    if (getsockopt(event_get_fd(&conn->event), IPPROTO_TCP, TCP_INFO, &info, &len) != 0) {
        return false;
    }
    *path = (struct conn_path){.round_trip_us = info.tcpi_min_rtt,
                               .varies_us = info.tcpi_rttvar,
                               .in_flight = info.tcpi_unacked,
                               .window = info.tcpi_snd_cwnd,
                               .held = info.tcpi_notsent_bytes,
                               .rate = info.tcpi_pacing_rate,
                               .lost = info.tcpi_total_retrans};
    return true;
}

uint32_t conn_taken(const struct conn *conn, uint64_t sent)
{
    return (uint32_t)(sent - conn_unacked(conn));
}

bool conn_takes(const struct conn *conn, uint64_t sent, uint32_t *mark)
{
    uint32_t taken = conn_taken(conn, sent);
    if ((int32_t)(taken - *mark) < CONN_LEAST_TAKEN) {
        return false;
    }
    *mark = taken;
    return true;
}

bool conn_peer_left(const struct conn *conn)
{
    struct pollfd look = {.fd = event_get_fd(&conn->event), .events = POLLRDHUP};
    return poll(&look, 1, 0) == 1;
}

bool conn_has_unread(const struct conn *conn)
{
    int waiting = 0;
    return ioctl(event_get_fd(&conn->event), FIONREAD, &waiting) == 0 && waiting > 0;
}

void conn_relieve(struct conn *conn)
{
    if (conn->relieved || conn->state != CONN_OPEN || conn->handler->relieve == NULL) {
        conn_reset(conn);
        return;
    }
    conn->relieved = true;
    conn->handler->relieve(conn->arg);
}

void conn_drop_queue(struct conn *conn)
{
    drop_queue(conn, true, METRIC_QUEUE_DROPPED_SLOW);
}

/* ------------------------------------------------------------------------------------ the turn */

static void on_readable(struct conn *conn)
{
    struct cost before = cost_so_far(conn);
    bool free =
        before.us < LOOP_TURN_BUDGET_US && list_empty(&conn->net->front) && !conn->net->behind;
    if (conn->unread && before.us < UNREAD_US) {
        wait_for_events(conn); /* it stands in line already: no more events until it had its turn */
    } else if (conn->unread) {
        return; /* nor has this turn the time to say so, where thousands come at once */
    } else if (goes_first(conn) && free) {
        read_some(conn);
        weigh(conn, &before);
    } else {
        conn->unread = true;
        stand_in_line(conn);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct conn *conn = arg;
    loop_awake(conn->net->loop);
    /* Where a turn has no time, because thousands take more at once, the event comes again. */
    if ((what & EV_WRITE) != 0 && loop_turn_us(conn->net->loop) < LOOP_TURN_BUDGET_US) {
        conn_flush(conn);
    }
    if ((what & EV_READ) != 0 && conn->state != CONN_DEAD) {
        on_readable(conn);
    }
}

static void call_poked(struct conn *conn)
{
    conn->poked = false;
    conn->settling = true;
    if (conn->handler->poked != NULL) {
        conn->handler->poked(conn->arg);
    }
    conn->settling = false;
}

/* What is kept comes before what is in the socket. */
static void read_on(struct conn *conn)
{
    bool unread = conn->unread;
    conn->unread = false;
    if (conn->paused != 0 && conn->state == CONN_OPEN) {
        return;
    }
    if (conn->held != NULL && conn->state == CONN_OPEN) {
        give_held(conn);
    } else if (unread && conn->state != CONN_DEAD) {
        read_some(conn);
    }
}

void conn_do_todo(struct conn *conn)
{
    struct cost before = cost_so_far(conn);
    if (conn->poked && conn->state != CONN_DEAD) {
        call_poked(conn);
    }
    read_on(conn);
    if (conn->state == CONN_DEAD) {
        list_del(&conn->todo); /* it may have died just now */
        conn->handler->closed(conn->arg, conn->end);
        conn_free(conn);
        return;
    }
    weigh(conn, &before);
    wait_for_events(conn);
}

void conn_pause(struct conn *conn, enum conn_pause reasons)
{
    bool reads = conn->paused == 0;
    conn->paused |= (uint8_t)reasons;
    if (reads && !conn->settling) {
        wait_for_events(conn);
    }
}

bool conn_is_paused(const struct conn *conn, enum conn_pause reasons)
{
    return (conn->paused & (unsigned)reasons) != 0;
}

void conn_resume(struct conn *conn, enum conn_pause reasons)
{
    bool was_paused = conn->paused != 0;
    conn->paused &= (uint8_t) ~(unsigned)reasons;
    if (!was_paused || conn->paused != 0 || conn->settling) {
        return;
    }
    if (conn->held != NULL) {
        need_turn(conn); /* reading goes on after what is kept was given */
    } else {
        wait_for_events(conn);
    }
}

void conn_poke(struct conn *conn)
{
    conn->poked = true;
    need_todo(conn);
}

void conn_yield(struct conn *conn)
{
    conn_pause(conn, CONN_PAUSE_FAIRNESS);
    conn->poked = true;
    need_turn(conn);
}

void conn_set_member(struct conn *conn)
{
    conn->member = true;
}

void conn_set_costly(struct conn *conn)
{
    conn->costly = true;
}

void conn_set_timer(struct conn *conn, uint32_t ms)
{
    if (conn->state != CONN_OPEN) {
        return; /* the timer is that of the end */
    }
    if (ms == 0) {
        wheel_cancel(&conn->timer);
    } else {
        wheel_set(conn->net->wheel, &conn->timer, ms);
    }
}

void conn_finish(struct conn *conn, uint32_t linger_ms)
{
    if (conn->state != CONN_OPEN) {
        return;
    }
    conn->state = CONN_FINISHING;
    conn->linger_ms = linger_ms;
    wheel_cancel(&conn->timer);
    await_progress(conn);
    make_dirty(conn); /* an empty queue, too, is flushed: that shuts the socket down */
    wait_for_events(conn);
}

void conn_leave(struct conn *conn)
{
    if (!conn->leaving) {
        conn->leaving = true;
        conn->net->leaving++;
        list_del(&conn->all);
        list_push_back(&conn->net->all, &conn->all);
    }
    if (conn->state == CONN_OPEN && conn->handler->drain != NULL) {
        conn->handler->drain(conn->arg);
    } else {
        conn_finish(conn, LEAVE_LINGER_MS);
    }
}

void conn_close(struct conn *conn)
{
    end(conn, CONN_END_LOCAL);
}

void conn_reset(struct conn *conn)
{
    struct linger none = {.l_onoff = 1};
    setsockopt(event_get_fd(&conn->event), SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    end(conn, CONN_END_LOCAL);
}

void conn_end_now(struct conn *conn)
{
    if (conn->state == CONN_FINISHING && conn->out.ring.count > 0) {
        conn_reset(conn);
    } else {
        conn_close(conn);
    }
}

uint64_t conn_id(const struct conn *conn)
{
    return conn->id;
}

const struct address *conn_peer(const struct conn *conn)
{
    return &conn->peer;
}

struct net *conn_net(const struct conn *conn)
{
    return conn->net;
}
