/* SPDX-License-Identifier: MIT */
#include "store/redis/scout.h"

#include "store/base/resp.h"
#include "store/base/timer.h"
#include "store/redis/greeting.h"
#include "store/redis/lookup.h"
#include "store/store_impl.h"

struct redis_scout {
    struct store *store;
    struct resolver *resolver;
    const struct redis_server *server;
    const struct redis_tls_files *tls;
    redis_scout_fn *fn;
    void *arg;
    unsigned tries;
    struct redis_endpoint *at;
    size_t count;
    size_t asked; /* places so far, with the one being asked */
    bool asking;
    struct redis_lookup *lookup;
    struct redis_conn *conn;
    struct event *timer; /* the next place: at once, or when this one takes too long */
    struct buf complaints;
};

static const struct redis_endpoint *current(const struct redis_scout *scout)
{
    return &scout->at[scout->asked - 1];
}

static void drop(struct redis_scout *scout)
{
    scout->asking = false;
    redis_lookup_cancel(&scout->lookup);
    redis_conn_free(&scout->conn);
}

/* This one is of no use; `text` may belong to what goes now. */
static void next(struct redis_scout *scout, const char *text)
{
    const struct redis_endpoint *at = current(scout);
    if (!scout->asking) {
        return;
    }
    buf_printf(&scout->complaints, "%sredis %s port %u: %s", scout->complaints.len > 0 ? "; " : "",
               at->host, at->port, text);
    drop(scout);
    timer_after(scout->timer, 0);
}

static void on_login(void *arg, const redisReply *reply)
{
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        next(arg, reply->str);
    }
}

static void take_map(struct redis_scout *scout, const redisReply *reply)
{
    struct redis_map map;
    if (redis_map_read(&map, reply, current(scout)->host, scout->tls != NULL) < 0) {
        next(scout, "it knows no slots");
        return;
    }
    event_del(scout->timer);
    drop(scout);
    scout->fn(scout->arg, &map, NULL);
    redis_map_free(&map);
}

static void on_slots(void *arg, const redisReply *reply)
{
    struct redis_scout *scout = arg;
    if (reply == NULL || !scout->asking) {
        return; /* the loss is told, or was */
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        next(scout, reply->str);
    } else {
        take_map(scout, reply);
    }
}

/* Where it is refused, the answer to the second question says why. */
static void on_shards(void *arg, const redisReply *reply)
{
    struct redis_scout *scout = arg;
    if (reply != NULL && scout->asking && reply->type != REDIS_REPLY_ERROR) {
        take_map(scout, reply);
    } else if (reply != NULL && scout->asking) {
        redis_conn_send(scout->conn, SPAN("*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n"), on_slots,
                        scout);
    }
}

/* One that was cut off from the others knows what was, not what is. */
static void on_info(void *arg, const redisReply *reply)
{
    if (reply != NULL && reply->type == REDIS_REPLY_STRING &&
        strstr(reply->str, "cluster_state:fail") != NULL) {
        next(arg, "CLUSTERDOWN: the cluster is down, as it sees it");
    }
}

static void on_connected(void *arg, struct redis_conn *conn)
{
    struct redis_scout *scout = arg;
    redis_greeting_login(conn, &scout->server->login, on_login, scout);
    redis_conn_send(conn, SPAN("*2\r\n$7\r\nCLUSTER\r\n$4\r\nINFO\r\n"), on_info, scout);
    redis_conn_send(conn, SPAN("*2\r\n$7\r\nCLUSTER\r\n$6\r\nSHARDS\r\n"), on_shards, scout);
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
    struct redis_scout *scout = arg;
    char error[256];
    scout->lookup = NULL;
    if (address == NULL) {
        next(scout, text);
        return;
    }
    struct redis_dial dial = {scout->store, address, len, current(scout)->host, scout->tls};
    scout->conn = redis_conn_new(&dial, &events, scout, error, sizeof(error));
    if (scout->conn == NULL) {
        next(scout, error);
    }
}

static void begin(struct redis_scout *scout)
{
    scout->asked++;
    scout->asking = true;
    timer_after(scout->timer, SCOUT_MS);
    struct redis_lookup *lookup = redis_lookup_start(scout->store, scout->resolver, current(scout),
                                                     scout->tries, on_address, scout);
    if (lookup != NULL) {
        scout->lookup = lookup;
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis_scout *scout = arg;
    struct store *store = scout->store;
    (void)fd, (void)what;
    store_enter(store);
    if (scout->asking) {
        next(scout, "no answer in time");
    } else if (scout->asked < scout->count) {
        begin(scout);
    } else {
        scout->fn(scout->arg, NULL, buf_text(&scout->complaints));
    }
    store_leave(store);
}

struct redis_scout *redis_scout_ask(struct store *store, struct resolver *resolver,
                                    const struct redis_server *server,
                                    const struct redis_tls_files *tls,
                                    const struct redis_endpoint *at, size_t count, unsigned tries,
                                    redis_scout_fn *fn, void *arg)
{
    struct redis_scout *scout = mem_zalloc(sizeof(*scout));
    scout->store = store;
    scout->resolver = resolver;
    scout->server = server;
    scout->tls = tls;
    scout->tries = tries;
    scout->fn = fn;
    scout->arg = arg;
    scout->at = mem_alloc(count * sizeof(*at));
    scout->count = count;
    for (size_t i = 0; i < count; i++) {
        scout->at[i] = (struct redis_endpoint){mem_dup(span_str(at[i].host)), at[i].port};
    }
    scout->timer = evtimer_new(store->base, on_timer, scout);
    timer_after(scout->timer, 0);
    return scout;
}

void redis_scout_cancel(struct redis_scout **scout)
{
    if (*scout == NULL) {
        return;
    }
    struct redis_scout *gone = *scout;
    *scout = NULL;
    drop(gone);
    event_free(gone->timer);
    buf_free(&gone->complaints);
    for (size_t i = 0; i < gone->count; i++) {
        free(gone->at[i].host);
    }
    free(gone->at);
    free(gone);
}
