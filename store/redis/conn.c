/* SPDX-License-Identifier: MIT */
#include "store/redis/conn.h"

#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/base/ring.h"
#include "store/base/timer.h"
#include "store/redis/reply.h"
#include "store/store_impl.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum {
    FIRST_WAITING = 32, /* power of two */
    REDIS_CONN_READ_MOST = 64 * 1024,
    WIRE_KEPT = 256 * 1024,       /* bytes that an empty queue keeps */
    REDIS_SENT_MOST = 256 * 1024, /* bytes of a turn; then others have theirs */
    REPLIES_PER_TURN = 128,       /* each may tell a session's members something */
};

struct waiting {
    redis_reply_fn *fn;
    void *arg;
    uint64_t since_us;
};

enum redis_conn_state {
    CONN_CONNECTING, /* TCP */
    CONN_GREETING,   /* TLS */
    REDIS_CONN_OPEN,
    CONN_FAILED, /* the loss was told */
};

struct redis_conn {
    struct store *store;
    enum redis_conn_state state;
    int fd;
    struct redis_tls *tls; /* NULL: none */
    struct event *readable;
    struct event *flush; /* when this turn's other events are done, or the socket takes more */
    struct event *more;  /* in the next turn, while `rest` */
    bool rest;           /* the reader has more replies; nothing is read before these are taken */
    struct redis_outbox out; /* commands */
    struct buf wire;         /* with TLS: what is encrypted, and its own messages */
    size_t written;          /* bytes at the front of `wire` */
    struct redis_replies *replies;
    const struct redis_conn_events *events;
    void *arg;
    struct ring waiting; /* of struct waiting: the calls that are not answered yet */
    bool busy;           /* inside a callback of its own: free later */
    bool dead;
    bool skips; /* answers may be left out: an error may be that of CLIENT REPLY SKIP itself */
    char in[REDIS_CONN_READ_MOST];
};

static void push_waiting(struct redis_conn *conn, redis_reply_fn *fn, void *arg)
{
    struct waiting *one = ring_push(&conn->waiting, FIRST_WAITING, sizeof(*one));
    *one = (struct waiting){fn, arg, clock_monotonic_us()};
}

static struct waiting shift_waiting(struct redis_conn *conn)
{
    struct waiting one = *(struct waiting *)ring_at(&conn->waiting, 0, sizeof(one));
    ring_shift(&conn->waiting, 1);
    return one;
}

static void report_time(struct redis_conn *conn, uint64_t since_us)
{
    const struct store_observer *observer = &conn->store->observer;
    if (observer->command_time != NULL && !conn->store->closing) {
        double seconds = (double)(clock_monotonic_us() - since_us) / 1e6;
        observer->command_time(observer->arg, seconds);
    }
}

static bool alive(const struct redis_conn *conn)
{
    return !conn->dead && conn->state != CONN_FAILED;
}

static void lose(struct redis_conn *conn, const char *text)
{
    if (conn->state != CONN_FAILED && !conn->dead) {
        conn->state = CONN_FAILED;
        event_del(conn->readable);
        event_del(conn->flush);
        event_del(conn->more);
        conn->events->lost(conn->arg, text);
    }
}

/* A script of others' that does not end, or rights that were taken away: SKIP had an answer, and so has
 * what was to be skipped. */
static bool is_out_of_step(const struct redis_conn *conn, const redisReply *reply)
{
    return conn->skips && reply->type == REDIS_REPLY_ERROR &&
           (strncmp(reply->str, "BUSY ", 5) == 0 ||
            (strncmp(reply->str, "NOPERM", 6) == 0 && strstr(reply->str, "'client") != NULL));
}

static void take_reply(struct redis_conn *conn, const redisReply *reply)
{
    struct store_stats *stats = &conn->store->stats;
    stats->errors += reply->type == REDIS_REPLY_ERROR;
    if (is_out_of_step(conn, reply)) {
        lose(conn, reply->str);
        return;
    }
    if (conn->waiting.count == 0) {
        conn->events->push(conn->arg, reply);
        return;
    }
    struct waiting one = shift_waiting(conn);
    report_time(conn, one.since_us);
    if (!conn->dead) {
        one.fn(one.arg, reply);
    }
}

/* Hands on whole replies that the reader has, as many as one turn may have. */
static int take_replies(struct redis_conn *conn)
{
    for (int left = REPLIES_PER_TURN; alive(conn); left--) {
        const redisReply *reply;
        if (left == 0) {
            conn->rest = true;
            timer_after(conn->more, 0);
            return 0;
        }
        int rc = redis_replies_next(conn->replies, &reply);
        if (rc <= 0) {
            return rc;
        }
        take_reply(conn, reply);
        redis_replies_done(conn->replies);
    }
    return 0;
}

static void lose_stranger(struct redis_conn *conn)
{
    lose(conn, "the server does not speak the Redis protocol");
}

static void take_bytes(struct redis_conn *conn, struct span bytes)
{
    if (redisReaderFeed(redis_replies_reader(conn->replies), bytes.ptr, bytes.len) != REDIS_OK ||
        take_replies(conn) != 0) {
        lose_stranger(conn);
    }
}

/* What goes to the wire waits for the end of the turn, or until the socket takes more. */
static void flush_later(struct redis_conn *conn, bool was_idle)
{
    if (was_idle && alive(conn) && redis_conn_queued(conn) > 0) {
        event_active(conn->flush, EV_WRITE, 0);
    }
}

/* Tells the peer why its certificate was not believed, if the socket takes it. */
static void send_alert(struct redis_conn *conn)
{
    struct span wire = span_skip(buf_span(&conn->wire), conn->written);
    if (send(conn->fd, wire.ptr, wire.len, MSG_NOSIGNAL) < 0) {
        return; /* it will see the connection go */
    }
}

static void greet(struct redis_conn *conn)
{
    bool idle = redis_conn_queued(conn) == 0;
    int through = redis_tls_greet(conn->tls, &conn->wire);
    flush_later(conn, idle);
    if (through < 0) {
        send_alert(conn);
        lose(conn, redis_tls_error(conn->tls));
    } else if (through > 0) {
        conn->state = REDIS_CONN_OPEN;
        conn->events->connected(conn->arg, conn);
    }
}

/* Takes what TLS has of replies. */
static void open_wire(struct redis_conn *conn)
{
    ssize_t n = 1;
    while (n > 0 && alive(conn) && conn->state == REDIS_CONN_OPEN && !conn->rest) {
        bool idle = redis_conn_queued(conn) == 0;
        n = redis_tls_open(conn->tls, conn->in, sizeof(conn->in), &conn->wire);
        flush_later(conn, idle);
        if (n > 0) {
            take_bytes(conn, span_of(conn->in, (size_t)n));
        } else if (n < 0) {
            lose(conn, redis_tls_error(conn->tls));
        }
    }
}

/* `conn->in` is free again once TLS has taken what was read into it. */
static void take_wire(struct redis_conn *conn, struct span wire)
{
    redis_tls_feed(conn->tls, wire);
    if (conn->state == CONN_GREETING) {
        greet(conn);
    }
    open_wire(conn);
}

/* One read per turn: what is left makes the socket readable again. */
static void read_some(struct redis_conn *conn)
{
    ssize_t n = recv(conn->fd, conn->in, sizeof(conn->in), 0);
    if (n == 0) {
        lose(conn, "the server closed the connection");
    } else if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            lose(conn, strerror(errno));
        }
    } else if (conn->tls != NULL) {
        take_wire(conn, span_of(conn->in, (size_t)n));
    } else {
        take_bytes(conn, span_of(conn->in, (size_t)n));
    }
}

static struct span at_most(struct span bytes, size_t most)
{
    return span_of(bytes.ptr, bytes.len < most ? bytes.len : most);
}

/* Encrypts what comes next, as far as the wire has room for it in a turn. */
static bool seal(struct redis_conn *conn)
{
    while (conn->state == REDIS_CONN_OPEN && conn->wire.len - conn->written < REDIS_SENT_MOST) {
        struct span clear = at_most(redis_outbox_front(&conn->out), REDIS_SENT_MOST);
        if (clear.len == 0) {
            break;
        }
        if (redis_tls_seal(conn->tls, clear, &conn->wire) != 0) {
            lose(conn, redis_tls_error(conn->tls));
            return false;
        }
        redis_outbox_take(&conn->out, clear.len);
    }
    return true;
}

/* What the socket is to get next. */
static struct span next_bytes(const struct redis_conn *conn)
{
    return conn->tls != NULL ? span_skip(buf_span(&conn->wire), conn->written)
                             : redis_outbox_front(&conn->out);
}

static void took(struct redis_conn *conn, size_t n)
{
    if (conn->tls == NULL) {
        redis_outbox_take(&conn->out, n);
        return;
    }
    conn->written += n;
    if (conn->written == conn->wire.len) {
        conn->written = conn->wire.len = 0;
        if (conn->wire.cap > WIRE_KEPT) {
            buf_free(&conn->wire);
        }
    }
}

/* Up to REDIS_SENT_MOST bytes, or until the socket takes no more. */
static void write_some(struct redis_conn *conn)
{
    size_t sent = 0;
    ssize_t n = 1;
    if (conn->tls != NULL && !seal(conn)) {
        return;
    }
    while (n > 0 && sent < REDIS_SENT_MOST && next_bytes(conn).len > 0) {
        struct span next = at_most(next_bytes(conn), REDIS_SENT_MOST - sent);
        n = send(conn->fd, next.ptr, next.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            lose(conn, strerror(errno));
            return;
        }
        if (n > 0) {
            took(conn, (size_t)n);
            sent += (size_t)n;
        }
    }
    if (next_bytes(conn).len > 0 ||
        (conn->state == REDIS_CONN_OPEN && redis_outbox_len(&conn->out) > 0)) {
        event_add(conn->flush, NULL);
    }
}

static void finish_connect(struct redis_conn *conn)
{
    int error = 0, on = 1;
    socklen_t len = sizeof(error);
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        lose(conn, strerror(error));
        return;
    }
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    event_add(conn->readable, NULL);
    if (conn->tls != NULL) {
        conn->state = CONN_GREETING;
        greet(conn);
    } else {
        conn->state = REDIS_CONN_OPEN;
        conn->events->connected(conn->arg, conn);
    }
}

static void free_parts(struct redis_conn *conn)
{
    if (conn->fd >= 0) {
        event_free(conn->readable);
        event_free(conn->flush);
        event_free(conn->more);
        close(conn->fd);
    }
    redis_tls_free(&conn->tls);
    redis_outbox_free(&conn->out);
    buf_free(&conn->wire);
    redis_replies_free(&conn->replies);
    ring_free(&conn->waiting);
    free(conn);
}

static void enter(struct redis_conn *conn)
{
    store_enter(conn->store);
    conn->busy = true;
}

static void leave(struct redis_conn *conn)
{
    struct store *store = conn->store;
    conn->busy = false;
    if (conn->dead) {
        free_parts(conn);
    }
    store_leave(store);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct redis_conn *conn = arg;
    (void)fd, (void)what;
    enter(conn);
    if (!conn->rest) {
        read_some(conn);
    }
    leave(conn);
}

static void on_more(evutil_socket_t fd, short what, void *arg)
{
    struct redis_conn *conn = arg;
    (void)fd, (void)what;
    enter(conn);
    conn->rest = false;
    if (take_replies(conn) != 0) {
        lose_stranger(conn);
    } else if (conn->tls != NULL) {
        open_wire(conn);
    }
    leave(conn);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    struct redis_conn *conn = arg;
    (void)fd, (void)what;
    enter(conn);
    if (conn->state == CONN_CONNECTING) {
        finish_connect(conn);
    }
    if (alive(conn)) {
        write_some(conn);
    }
    leave(conn);
}

/* Opens the socket and begins to connect. 0, or -1 with errno. */
static int dial_out(struct redis_conn *conn, const struct redis_dial *dial)
{
    conn->fd = socket(dial->address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        return -1;
    }
    conn->readable =
        event_new(conn->store->base, conn->fd, EV_READ | EV_PERSIST, on_readable, conn);
    conn->flush = event_new(conn->store->base, conn->fd, EV_WRITE, on_flush, conn);
    conn->more = evtimer_new(conn->store->base, on_more, conn);
    bool begun = connect(conn->fd, dial->address, (socklen_t)dial->len) == 0;
    return begun || errno == EINPROGRESS ? 0 : -1;
}

struct redis_conn *redis_conn_new(const struct redis_dial *dial,
                                  const struct redis_conn_events *events, void *arg, char *error,
                                  size_t error_size)
{
    struct redis_tls *tls = NULL;
    if (dial->tls != NULL) {
        tls = redis_tls_new(dial->tls, dial->host, error, error_size);
        if (tls == NULL) {
            return NULL;
        }
    }
    struct redis_conn *conn = mem_zalloc(sizeof(*conn));
    conn->store = dial->store;
    conn->events = events;
    conn->arg = arg;
    conn->tls = tls;
    conn->replies = redis_replies_new();
    if (dial_out(conn, dial) != 0) {
        snprintf(error, error_size, "cannot connect: %s", strerror(errno));
        free_parts(conn);
        return NULL;
    }
    event_add(conn->flush, NULL);
    return conn;
}

/* Before the command: was there nothing to be sent? */
static bool begin_command(struct redis_conn *conn, redis_reply_fn *fn, void *arg)
{
    conn->store->stats.commands++;
    if (fn != NULL) {
        push_waiting(conn, fn, arg);
    }
    return redis_conn_queued(conn) == 0;
}

static void end_command(struct redis_conn *conn, bool was_idle)
{
    if (conn->state == REDIS_CONN_OPEN) {
        flush_later(conn, was_idle);
    }
}

void redis_conn_send(struct redis_conn *conn, struct span command, redis_reply_fn *fn, void *arg)
{
    bool idle = begin_command(conn, fn, arg);
    redis_outbox_put(&conn->out, command);
    end_command(conn, idle);
}

void redis_conn_share(struct redis_conn *conn, const struct redis_outbox *command,
                      redis_reply_fn *fn, void *arg)
{
    bool idle = begin_command(conn, fn, arg);
    redis_outbox_add(&conn->out, command);
    end_command(conn, idle);
}

void redis_conn_skips(struct redis_conn *conn)
{
    conn->skips = true;
}

size_t redis_conn_queued(const struct redis_conn *conn)
{
    return redis_outbox_len(&conn->out) + conn->wire.len - conn->written;
}

void redis_conn_free(struct redis_conn **conn)
{
    if (*conn == NULL) {
        return;
    }
    struct redis_conn *gone = *conn;
    *conn = NULL;
    gone->dead = true;
    event_del(gone->readable);
    event_del(gone->flush);
    event_del(gone->more);
    while (gone->waiting.count > 0) {
        struct waiting one = shift_waiting(gone);
        gone->store->stats.errors++;
        one.fn(one.arg, NULL);
    }
    if (!gone->busy) {
        free_parts(gone);
    }
}
