/* SPDX-License-Identifier: MIT */
#include "store/redis/route.h"

#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/store_impl.h"

enum {
    CALL_PAUSE_MS = 50,
    CALL_PATIENCE_MS = 3000,
    CALL_TURNS_MOST = 16, /* that a call is sent on at once */
};

/* A command in a cluster, on its way. */
struct call {
    struct list entry; /* while it waits to be sent again */
    const struct redis_route *route;
    struct redis_link *link; /* that it was sent over; goes with it */
    struct buf command;
    redis_reply_fn *fn;
    void *arg;
    uint64_t since_ms;
    unsigned turns;
    struct event *again; /* NULL: it never waited */
};

struct redis_link *redis_route_link(const struct redis_route *route)
{
    return route->cluster != NULL ? redis_cluster_link(route->cluster, route->shard) : route->link;
}

static void end_call(struct call *call, const redisReply *reply)
{
    list_del(&call->entry);
    call->fn(call->arg, reply);
    if (call->again != NULL) {
        event_free(call->again);
    }
    buf_free(&call->command);
    free(call);
}

static void on_reply(void *arg, const redisReply *reply);

/* To the server that has the partition by now. */
static void send_call(struct call *call)
{
    call->link = redis_cluster_link(call->route->cluster, call->route->shard);
    call->turns++;
    if (call->link == NULL || call->turns > CALL_TURNS_MOST ||
        redis_link_command(call->link, buf_span(&call->command), on_reply, call) < 0) {
        end_call(call, NULL);
    }
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct call *call = arg;
    struct store *store = call->route->store;
    (void)fd, (void)what;
    store_enter(store);
    list_del(&call->entry);
    call->turns = 0;
    send_call(call);
    store_leave(store);
}

static void send_later(struct call *call)
{
    if (clock_monotonic_ms() - call->since_ms > CALL_PATIENCE_MS) {
        end_call(call, NULL);
        return;
    }
    if (call->again == NULL) {
        call->again = evtimer_new(call->route->store->base, on_again, call);
    }
    list_push_back(redis_cluster_calls(call->route->cluster), &call->entry);
    timer_after(call->again, CALL_PAUSE_MS);
}

static void on_asking(void *arg, const redisReply *reply)
{
    (void)arg, (void)reply;
}

/* The key has left already, its slot not yet. A link that is still being made is waited for. */
static void send_ask(struct call *call, const struct redis_redirect *to)
{
    const char *here = redis_cluster_host(call->route->cluster, call->route->shard);
    char *host = to->host.len > 0 ? mem_dup(to->host) : mem_dup(span_str(here != NULL ? here : ""));
    struct redis_endpoint at = {host, to->port};
    struct redis_link *link = redis_cluster_link_at(call->route->cluster, &at);
    free(host);
    call->turns++;
    if (!redis_link_is_up(link) || call->turns > CALL_TURNS_MOST ||
        redis_link_command(link, SPAN("*1\r\n$6\r\nASKING\r\n"), on_asking, NULL) < 0) {
        send_later(call);
        return;
    }
    call->link = link;
    if (redis_link_command(link, buf_span(&call->command), on_reply, call) < 0) {
        send_later(call);
    }
}

static void on_reply(void *arg, const redisReply *reply)
{
    struct call *call = arg;
    struct redis_redirect to = {.kind = REDIRECT_NONE};
    if (reply == NULL) {
        end_call(call, NULL);
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        to = redis_redirect_read(reply->str);
    }
    redis_link_check(call->link, reply);
    switch (to.kind) {
    case REDIRECT_MOVED:
        send_call(call);
        break;
    case REDIRECT_ASK:
        send_ask(call, &to);
        break;
    case REDIRECT_AGAIN:
        send_later(call);
        break;
    case REDIRECT_UNSERVED:
        end_call(call, NULL);
        break;
    case REDIRECT_NONE:
        end_call(call, reply);
        break;
    }
}

int redis_route_command(const struct redis_route *route, struct span command, redis_reply_fn *fn,
                        void *arg)
{
    if (route->cluster == NULL) {
        return redis_link_command(route->link, command, fn, arg);
    }
    struct call *call = mem_zalloc(sizeof(*call));
    list_init(&call->entry);
    call->route = route;
    call->link = redis_cluster_link(route->cluster, route->shard);
    call->fn = fn;
    call->arg = arg;
    call->since_ms = clock_monotonic_ms();
    if (call->link == NULL || redis_link_command(call->link, command, on_reply, call) < 0) {
        free(call);
        return -1;
    }
    buf_append(&call->command, command);
    return 0;
}

bool redis_route_check(const struct redis_route *route, const redisReply *reply)
{
    return route->cluster == NULL ? redis_link_check(route->link, reply)
                                  : reply != NULL && reply->type != REDIS_REPLY_ERROR;
}

struct span redis_route_timeline(const struct redis_route *route)
{
    struct redis_link *link = redis_route_link(route);
    return link != NULL ? redis_link_timeline(link) : SPAN("-");
}

void redis_route_end_calls(struct redis_cluster *cluster)
{
    struct list *calls = redis_cluster_calls(cluster);
    while (!list_empty(calls)) {
        struct list *first = calls->next;
        list_del(first);
        end_call(LIST_ITEM(first, struct call, entry), NULL);
    }
}
