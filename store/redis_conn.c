#include "store/redis_conn.h"

#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/handle.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum {
    FIRST_WAITING = 32, /* power of two */
    READ_MOST = 64 * 1024,
    OUT_KEPT = 256 * 1024, /* bytes that an empty queue keeps */
};

struct waiting {
    redis_reply_fn *fn;
    void *arg;
    uint64_t since_us;
};

struct redis_conn {
    struct store *store;
    int fd;
    struct event *readable;
    struct event *flush; /* when this turn's other events are through, or the socket takes more */
    bool connecting;
    bool failed; /* the loss was told */
    struct buf out;
    size_t written; /* bytes at the front of `out` */
    redisReader *reader;
    const struct redis_conn_events *events;
    void *arg;
    struct waiting *ring; /* of `size`, a power of two; `first` and `end` only grow */
    size_t size, first, end;
    bool busy; /* inside a callback of its own: free later */
    bool dead;
    char in[READ_MOST];
};

static void push_waiting(struct redis_conn *conn, redis_reply_fn *fn, void *arg)
{
    if (conn->end - conn->first == conn->size) {
        size_t size = conn->size > 0 ? conn->size * 2 : FIRST_WAITING;
        struct waiting *ring = mem_alloc(size * sizeof(*ring));
        for (size_t i = conn->first; i != conn->end; i++) {
            ring[i & (size - 1)] = conn->ring[i & (conn->size - 1)];
        }
        free(conn->ring);
        conn->ring = ring;
        conn->size = size;
    }
    conn->ring[conn->end++ & (conn->size - 1)] = (struct waiting){fn, arg, clock_monotonic_us()};
}

static void report_time(struct redis_conn *conn, uint64_t since_us)
{
    const struct store_observer *observer = &conn->store->observer;
    if (observer->command_time != NULL && !conn->store->closing) {
        double seconds = (double)(clock_monotonic_us() - since_us) / 1e6;
        observer->command_time(observer->arg, seconds);
    }
}

static void take_reply(struct redis_conn *conn, const redisReply *reply)
{
    struct store_stats *stats = &conn->store->stats;
    stats->errors += reply->type == REDIS_REPLY_ERROR;
    if (conn->first == conn->end) {
        conn->events->push(conn->arg, reply);
        return;
    }
    struct waiting one = conn->ring[conn->first++ & (conn->size - 1)];
    report_time(conn, one.since_us);
    if (!conn->dead) {
        one.fn(one.arg, reply);
    }
}

static void lose(struct redis_conn *conn, const char *text)
{
    if (!conn->failed && !conn->dead) {
        conn->failed = true;
        event_del(conn->readable);
        event_del(conn->flush);
        conn->events->lost(conn->arg, text);
    }
}

/* Hands on the whole replies that the reader has. */
static int take_replies(struct redis_conn *conn)
{
    while (!conn->dead && !conn->failed) {
        void *reply = NULL;
        if (redisReaderGetReply(conn->reader, &reply) != REDIS_OK) {
            return -1;
        }
        if (reply == NULL) {
            return 0;
        }
        take_reply(conn, reply);
        freeReplyObject(reply);
    }
    return 0;
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
    } else if (redisReaderFeed(conn->reader, conn->in, (size_t)n) != REDIS_OK ||
               take_replies(conn) != 0) {
        lose(conn, "the server does not speak the Redis protocol");
    }
}

static void all_written(struct redis_conn *conn)
{
    conn->written = 0;
    conn->out.len = 0;
    if (conn->out.cap > OUT_KEPT) {
        buf_free(&conn->out);
    }
}

static void write_some(struct redis_conn *conn)
{
    size_t left = redis_conn_queued(conn);
    if (left == 0) {
        return;
    }
    ssize_t n = send(conn->fd, conn->out.ptr + conn->written, left, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        lose(conn, strerror(errno));
        return;
    }
    conn->written += n > 0 ? (size_t)n : 0;
    if (redis_conn_queued(conn) == 0) {
        all_written(conn);
    } else {
        event_add(conn->flush, NULL);
    }
}

static void finish_connect(struct redis_conn *conn)
{
    int error = 0, on = 1;
    socklen_t len = sizeof(error);
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    conn->connecting = false;
    if (error != 0) {
        lose(conn, strerror(error));
        return;
    }
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    event_add(conn->readable, NULL);
    conn->events->connected(conn->arg, conn);
}

static void free_parts(struct redis_conn *conn)
{
    if (conn->fd >= 0) {
        event_free(conn->readable);
        event_free(conn->flush);
        close(conn->fd);
    }
    buf_free(&conn->out);
    redisReaderFree(conn->reader);
    free(conn->ring);
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
    read_some(conn);
    leave(conn);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    struct redis_conn *conn = arg;
    (void)fd, (void)what;
    enter(conn);
    if (conn->connecting) {
        finish_connect(conn);
    }
    if (!conn->dead && !conn->failed) {
        write_some(conn);
    }
    leave(conn);
}

struct redis_conn *redis_conn_new(struct store *store, const struct sockaddr *address, int len,
                                  const struct redis_conn_events *events, void *arg)
{
    struct redis_conn *conn = mem_zalloc(sizeof(*conn));
    conn->store = store;
    conn->events = events;
    conn->arg = arg;
    conn->connecting = true;
    conn->reader = redisReaderCreate();
    conn->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        free_parts(conn);
        return NULL;
    }
    conn->readable = event_new(store->base, conn->fd, EV_READ | EV_PERSIST, on_readable, conn);
    conn->flush = event_new(store->base, conn->fd, EV_WRITE, on_flush, conn);
    if (connect(conn->fd, address, (socklen_t)len) != 0 && errno != EINPROGRESS) {
        free_parts(conn);
        return NULL;
    }
    event_add(conn->flush, NULL);
    return conn;
}

void redis_conn_send(struct redis_conn *conn, struct span command, redis_reply_fn *fn, void *arg)
{
    conn->store->stats.commands++;
    if (fn != NULL) {
        push_waiting(conn, fn, arg);
    }
    bool idle = redis_conn_queued(conn) == 0;
    if (conn->written > 0 && conn->written > conn->out.len / 2) {
        buf_consume(&conn->out, conn->written);
        conn->written = 0;
    }
    buf_append(&conn->out, command);
    if (idle && !conn->connecting && !conn->failed) {
        event_active(conn->flush, EV_WRITE, 0);
    }
}

size_t redis_conn_queued(const struct redis_conn *conn)
{
    return conn->out.len - conn->written;
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
    while (gone->first != gone->end) {
        struct waiting one = gone->ring[gone->first++ & (gone->size - 1)];
        gone->store->stats.errors++;
        one.fn(one.arg, NULL);
    }
    if (!gone->busy) {
        free_parts(gone);
    }
}
