#include "store/redis_conn.h"

#include "store/base/clock.h"
#include "store/handle.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

enum {
    FIRST_WAITING = 32, /* power of two */
    READ_MOST = 64 * 1024,
};

struct waiting {
    redis_reply_fn *fn;
    void *arg;
    uint64_t since_us;
};

struct redis_conn {
    struct store *store;
    struct bufferevent *bev;
    redisReader *reader;
    const struct redis_conn_events *events;
    void *arg;
    struct waiting *ring; /* of `size`, a power of two; `first` and `end` only grow */
    size_t size, first, end;
    bool busy; /* inside on_read: free later */
    bool dead;
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
    bufferevent_disable(conn->bev, EV_READ | EV_WRITE);
    conn->events->lost(conn->arg, text);
}

/* Gives the reader what came in, then hands on the whole replies. */
static void read_replies(struct redis_conn *conn)
{
    struct evbuffer *in = bufferevent_get_input(conn->bev);
    int fed = REDIS_OK;
    for (size_t len; fed == REDIS_OK && (len = evbuffer_get_contiguous_space(in)) > 0;) {
        const char *bytes = (const char *)evbuffer_pullup(in, (ev_ssize_t)len);
        fed = redisReaderFeed(conn->reader, bytes, len);
        evbuffer_drain(in, len);
    }
    while (fed == REDIS_OK && !conn->dead) {
        void *reply = NULL;
        if (redisReaderGetReply(conn->reader, &reply) != REDIS_OK) {
            fed = REDIS_ERR;
        } else if (reply == NULL) {
            return;
        } else {
            take_reply(conn, reply);
            freeReplyObject(reply);
        }
    }
    if (!conn->dead) {
        lose(conn, "the server does not speak the Redis protocol");
    }
}

static void free_parts(struct redis_conn *conn)
{
    redisReaderFree(conn->reader);
    free(conn->ring);
    free(conn);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct redis_conn *conn = arg;
    struct store *store = conn->store;
    (void)bev;
    store_enter(store);
    conn->busy = true;
    read_replies(conn);
    conn->busy = false;
    if (conn->dead) {
        free_parts(conn);
    }
    store_leave(store);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct redis_conn *conn = arg;
    struct store *store = conn->store;
    int error = EVUTIL_SOCKET_ERROR();
    store_enter(store);
    if (what & BEV_EVENT_CONNECTED) {
        int on = 1;
        setsockopt(bufferevent_getfd(bev), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        conn->events->connected(conn->arg, conn);
    } else if (what & BEV_EVENT_EOF) {
        lose(conn, "the server closed the connection");
    } else if (what & BEV_EVENT_ERROR) {
        lose(conn, error != 0 ? evutil_socket_error_to_string(error) : "connection failed");
    }
    store_leave(store);
}

struct redis_conn *redis_conn_new(struct store *store, const struct sockaddr *address, int len,
                                  const struct redis_conn_events *events, void *arg)
{
    struct redis_conn *conn = mem_zalloc(sizeof(*conn));
    conn->store = store;
    conn->events = events;
    conn->arg = arg;
    conn->reader = redisReaderCreate();
    conn->bev = bufferevent_socket_new(store->base, -1, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_set_max_single_read(conn->bev, READ_MOST);
    bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
    if (bufferevent_socket_connect(conn->bev, address, len) < 0) {
        bufferevent_free(conn->bev);
        free_parts(conn);
        return NULL;
    }
    /* Only now: an error of the connect itself must not come from inside this call. */
    bufferevent_setcb(conn->bev, on_read, NULL, on_event, conn);
    return conn;
}

void redis_conn_send(struct redis_conn *conn, struct span command, redis_reply_fn *fn, void *arg)
{
    conn->store->stats.commands++;
    if (fn != NULL) {
        push_waiting(conn, fn, arg);
    }
    bufferevent_write(conn->bev, command.ptr, command.len);
}

size_t redis_conn_queued(const struct redis_conn *conn)
{
    return evbuffer_get_length(bufferevent_get_output(conn->bev));
}

void redis_conn_free(struct redis_conn **conn)
{
    if (*conn == NULL) {
        return;
    }
    struct redis_conn *gone = *conn;
    *conn = NULL;
    gone->dead = true;
    bufferevent_setcb(gone->bev, NULL, NULL, NULL, NULL);
    bufferevent_free(gone->bev);
    while (gone->first != gone->end) {
        struct waiting one = gone->ring[gone->first++ & (gone->size - 1)];
        gone->store->stats.errors++;
        one.fn(one.arg, NULL);
    }
    if (!gone->busy) {
        free_parts(gone);
    }
}
