/* SPDX-License-Identifier: MIT */
#include "store/redis/sentinel.h"

#include "store/base/resp.h"
#include "store/base/timer.h"
#include "store/redis/greeting.h"
#include "store/redis/lookup.h"
#include "store/store_impl.h"

struct redis_sentinel {
    struct store *store;
    struct resolver *resolver;
    const struct redis_server *server;
    const struct redis_tls_files *tls;
    redis_sentinel_fn *fn;
    void *arg;
    unsigned first;
    size_t asked; /* sentinels so far, with the one being asked */
    bool asking;
    struct redis_lookup *lookup;
    struct redis_conn *conn;
    struct event *timer; /* the next sentinel: at once, or when this one takes too long */
    struct buf complaints;
};

static const struct redis_endpoint *current(const struct redis_sentinel *sentinel)
{
    const struct redis_server *server = sentinel->server;
    return &server->at[(sentinel->first + sentinel->asked - 1) % server->count];
}

static void arm(struct redis_sentinel *sentinel, unsigned ms)
{
    timer_after(sentinel->timer, ms);
}

static void drop(struct redis_sentinel *sentinel)
{
    sentinel->asking = false;
    redis_lookup_cancel(&sentinel->lookup);
    redis_conn_free(&sentinel->conn);
}

/* This one is of no use; `text` may belong to what goes now. */
static void next(struct redis_sentinel *sentinel, const char *text)
{
    const struct redis_endpoint *at = current(sentinel);
    if (!sentinel->asking) {
        return;
    }
    buf_printf(&sentinel->complaints, "%ssentinel %s port %u: %s",
               sentinel->complaints.len > 0 ? "; " : "", at->host, at->port, text);
    drop(sentinel);
    arm(sentinel, 0);
}

static void on_login(void *arg, const redisReply *reply)
{
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        next(arg, reply->str);
    }
}

/* [host, port], or nil for a name that it does not know */
static void on_answer(void *arg, const redisReply *reply)
{
    struct redis_sentinel *sentinel = arg;
    if (reply == NULL || !sentinel->asking) {
        return; /* the loss is told, or was */
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        next(sentinel, reply->str);
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING) {
        next(sentinel, "it knows no master of that name");
        return;
    }
    struct redis_endpoint master = {
        mem_dup(span_str(reply->element[0]->str)),
        (uint16_t)strtoul(reply->element[1]->str, NULL, 10),
    };
    event_del(sentinel->timer);
    drop(sentinel);
    sentinel->fn(sentinel->arg, &master, NULL);
    free(master.host);
}

static void on_connected(void *arg, struct redis_conn *conn)
{
    struct redis_sentinel *sentinel = arg;
    struct buf ask = {0};
    resp_command(&ask, 3);
    resp_word(&ask, SPAN("SENTINEL"));
    resp_word(&ask, SPAN("get-master-addr-by-name"));
    resp_word(&ask, span_str(sentinel->server->master));
    redis_greeting_login(conn, &sentinel->server->sentinel_login, on_login, sentinel);
    redis_conn_send(conn, buf_span(&ask), on_answer, sentinel);
    buf_free(&ask);
}

static void on_push(void *arg, const redisReply *reply)
{
    (void)arg, (void)reply;
}

static void on_lost(void *arg, const char *text)
{
    next(arg, text);
}

static void on_address(void *arg, const struct sockaddr *address, int len, const char *text)
{
    static const struct redis_conn_events events = {on_connected, on_push, on_lost};
    struct redis_sentinel *sentinel = arg;
    char error[256];
    sentinel->lookup = NULL;
    if (address == NULL) {
        next(sentinel, text);
        return;
    }
    struct redis_dial dial = {sentinel->store, address, len, current(sentinel)->host,
                              sentinel->tls};
    sentinel->conn = redis_conn_new(&dial, &events, sentinel, error, sizeof(error));
    if (sentinel->conn == NULL) {
        next(sentinel, error);
    }
}

static void begin(struct redis_sentinel *sentinel)
{
    sentinel->asked++;
    sentinel->asking = true;
    arm(sentinel, SENTINEL_MS);
    struct redis_lookup *lookup = redis_lookup_start(
        sentinel->store, sentinel->resolver, current(sentinel),
        sentinel->first / (unsigned)sentinel->server->count, on_address, sentinel);
    if (lookup != NULL) {
        sentinel->lookup = lookup;
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis_sentinel *sentinel = arg;
    struct store *store = sentinel->store;
    (void)fd, (void)what;
    store_enter(store);
    if (sentinel->asking) {
        next(sentinel, "no answer in time");
    } else if (sentinel->asked < sentinel->server->count) {
        begin(sentinel);
    } else {
        sentinel->fn(sentinel->arg, NULL, buf_text(&sentinel->complaints));
    }
    store_leave(store);
}

struct redis_sentinel *redis_sentinel_ask(struct store *store, struct resolver *resolver,
                                          const struct redis_server *server,
                                          const struct redis_tls_files *tls, unsigned first,
                                          redis_sentinel_fn *fn, void *arg)
{
    struct redis_sentinel *sentinel = mem_zalloc(sizeof(*sentinel));
    sentinel->store = store;
    sentinel->resolver = resolver;
    sentinel->server = server;
    sentinel->tls = tls;
    sentinel->first = first;
    sentinel->fn = fn;
    sentinel->arg = arg;
    sentinel->timer = evtimer_new(store->base, on_timer, sentinel);
    arm(sentinel, 0);
    return sentinel;
}

void redis_sentinel_cancel(struct redis_sentinel **sentinel)
{
    if (*sentinel == NULL) {
        return;
    }
    struct redis_sentinel *gone = *sentinel;
    *sentinel = NULL;
    drop(gone);
    event_free(gone->timer);
    buf_free(&gone->complaints);
    free(gone);
}
