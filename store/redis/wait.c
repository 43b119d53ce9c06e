/* SPDX-License-Identifier: MIT */
#include "store/redis/wait.h"

#include "store/base/resp.h"
#include "store/base/timer.h"
#include "store/redis/greeting.h"
#include "store/store_impl.h"

enum { WAIT_ANSWER_MS = 1000 }; /* for the answer itself, beyond what WAIT may take */

struct redis_wait {
    struct store *store;
    const struct redis_server *server;
    const struct redis_wait_events *events;
    void *arg;
    struct redis_conn *conn;
    bool connected;
    bool written;               /* the question's own write was taken */
    struct list waiting, asked; /* struct ask; asked: the question under way is theirs */
    struct event *limit;
};

struct ask {
    struct list entry;
    backend_answer_fn *fn;
    void *arg;
};

static void tell_all(struct list *asks, enum backend_answer answer)
{
    struct list told;
    list_init(&told);
    list_splice(&told, asks);
    while (!list_empty(&told)) {
        struct ask *ask = LIST_ITEM(told.next, struct ask, entry);
        list_del(&ask->entry);
        ask->fn(ask->arg, answer, span_of(NULL, 0));
        free(ask);
    }
}

/* True when the connection can go on. A master that becomes a replica lets go of clients that wait there. */
static bool is_usable(struct redis_wait *wait, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ERROR) {
        return true;
    }
    if (redis_error_is_fatal(reply->str) || strncmp(reply->str, "UNBLOCKED", 9) == 0) {
        wait->events->lost(wait->arg, reply->str);
        return false;
    }
    wait->events->trouble(wait->arg, reply->str);
    return true;
}

static void on_written(void *arg, const redisReply *reply)
{
    struct redis_wait *wait = arg;
    wait->written = reply != NULL && is_usable(wait, reply) && reply->type != REDIS_REPLY_ERROR;
}

static void next_question(struct redis_wait *wait);

static void on_waited(void *arg, const redisReply *reply)
{
    struct redis_wait *wait = arg;
    if (reply == NULL || !is_usable(wait, reply)) {
        return; /* the askers are told when the connection is hung up */
    }
    event_del(wait->limit);
    bool enough = wait->written && reply->type == REDIS_REPLY_INTEGER &&
                  reply->integer >= (long long)wait->store->replicas;
    if (!enough) {
        wait->store->stats.replica_timeouts++;
        if (reply->type == REDIS_REPLY_INTEGER && wait->written) {
            char text[128];
            snprintf(text, sizeof(text),
                     "%lld of %u replicas had what was written within %d ms: it is not accepted",
                     reply->integer, wait->store->replicas, STORE_REPLICAS_MS);
            wait->events->trouble(wait->arg, text);
        }
    }
    tell_all(&wait->asked, enough ? BACKEND_OK : BACKEND_REFUSED);
    next_question(wait);
}

static void put_write(const struct redis_wait *wait, struct buf *out)
{
    struct buf key = {0};
    int tag = wait->events->tag(wait->arg);
    if (tag >= 0) {
        buf_printf(&key, "%s:{%s}:wait", wait->store->prefix, partition_tag((unsigned)tag));
    } else {
        buf_printf(&key, "%s:wait", wait->store->prefix);
    }
    resp_command(out, 3);
    resp_word(out, SPAN("SET"));
    resp_word(out, buf_span(&key));
    resp_word(out, span_str(wait->store->node));
    buf_free(&key);
}

static void put_question(const struct redis_wait *wait, struct buf *out)
{
    resp_command(out, 3);
    resp_word(out, SPAN("WAIT"));
    resp_number(out, wait->store->replicas);
    resp_number(out, STORE_REPLICAS_MS);
}

static void next_question(struct redis_wait *wait)
{
    if (!wait->connected || !list_empty(&wait->asked) || list_empty(&wait->waiting)) {
        return;
    }
    struct buf out = {0};
    list_splice(&wait->asked, &wait->waiting);
    wait->store->stats.replica_waits++;
    put_write(wait, &out);
    redis_conn_send(wait->conn, buf_span(&out), on_written, wait);
    out.len = 0;
    put_question(wait, &out);
    redis_conn_send(wait->conn, buf_span(&out), on_waited, wait);
    buf_free(&out);
    timer_after(wait->limit, STORE_REPLICAS_MS + WAIT_ANSWER_MS);
}

static void on_greeting(void *arg, const redisReply *reply)
{
    struct redis_wait *wait = arg;
    if (reply != NULL && redis_greeting_refused(reply)) {
        wait->events->lost(wait->arg, reply->str);
    }
}

static void on_connected(void *arg, struct redis_conn *conn)
{
    struct redis_wait *wait = arg;
    redis_greeting_send(conn, wait->server, wait->store->node, on_greeting, wait);
    wait->connected = true;
    next_question(wait);
}

static void on_push(void *arg, const redisReply *reply)
{
    (void)arg, (void)reply;
}

static void on_lost(void *arg, const char *text)
{
    struct redis_wait *wait = arg;
    wait->events->lost(wait->arg, text);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    struct redis_wait *wait = arg;
    struct store *store = wait->store;
    (void)fd, (void)what;
    store_enter(store);
    wait->events->lost(wait->arg, wait->connected ? "WAIT is not answered in time"
                                                  : "no connection for WAIT in time");
    store_leave(store);
}

struct redis_wait *redis_wait_new(struct store *store, const struct redis_server *server,
                                  const struct redis_wait_events *events, void *arg)
{
    struct redis_wait *wait = mem_zalloc(sizeof(*wait));
    wait->store = store;
    wait->server = server;
    wait->events = events;
    wait->arg = arg;
    list_init(&wait->waiting);
    list_init(&wait->asked);
    wait->limit = evtimer_new(store->base, on_limit, wait);
    return wait;
}

int redis_wait_dial(struct redis_wait *wait, const struct redis_dial *dial, char *error,
                    size_t error_size)
{
    static const struct redis_conn_events events = {on_connected, on_push, on_lost};
    wait->conn = redis_conn_new(dial, &events, wait, error, error_size);
    return wait->conn != NULL ? 0 : -1;
}

int redis_wait_ask(struct redis_wait *wait, backend_answer_fn *fn, void *arg)
{
    if (wait->conn == NULL) {
        return -1;
    }
    struct ask *ask = mem_zalloc(sizeof(*ask));
    ask->fn = fn;
    ask->arg = arg;
    if (!wait->connected && list_empty(&wait->waiting)) {
        timer_after(wait->limit, STORE_REPLICAS_MS + WAIT_ANSWER_MS);
    }
    list_push_back(&wait->waiting, &ask->entry);
    next_question(wait);
    return 0;
}

void redis_wait_hang_up(struct redis_wait *wait)
{
    wait->connected = false;
    event_del(wait->limit);
    redis_conn_free(&wait->conn);
    tell_all(&wait->asked, BACKEND_LOST);
    tell_all(&wait->waiting, BACKEND_LOST);
}

void redis_wait_free(struct redis_wait **wait)
{
    if (wait == NULL || *wait == NULL) {
        return;
    }
    redis_wait_hang_up(*wait);
    event_free((*wait)->limit);
    free(*wait);
    *wait = NULL;
}
