/* SPDX-License-Identifier: MIT */
#include "store/redis/route.h"

#include "store/base/check.h"
#include "store/base/clock.h"
#include "store/base/decimal.h"
#include "store/base/resp.h"
#include "store/base/timer.h"
#include "store/redis/greeting.h"
#include "store/redis/scripts.h"
#include "store/store_impl.h"

enum {
    CALL_PAUSE_MS = 50,
    CALL_PATIENCE_MS = 3000,
    CALL_TURNS_MOST = 16, /* that a call is sent on at once */
};

/* A command whose partition may move, on its way. */
struct call {
    struct list entry; /* while it waits to be sent again */
    const struct redis_route *route;
    struct redis_link *link; /* that it was sent over; goes with it */
    struct redis_outbox command;
    unsigned partition; /* of a list that changes */
    enum redis_patience patience;
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
    redis_outbox_free(&call->command);
    free(call);
}

static void on_reply(void *arg, const redisReply *reply);

/* Where it goes to now. */
static struct redis_link *link_of(const struct call *call)
{
    const struct redis_route *route = call->route;
    if (route->moves != NULL && call->patience == PATIENCE_FOLLOWS) {
        return route->moves->routes[route->store->backend->owner[call->partition]].link;
    }
    return redis_route_link(route);
}

/* To the server that has the partition by now. */
static void send_call(struct call *call)
{
    call->link = link_of(call);
    call->turns++;
    if (call->link == NULL || call->turns > CALL_TURNS_MOST ||
        redis_link_share(call->link, &call->command, on_reply, call) < 0) {
        end_call(call, NULL);
    }
}

/* Is it the old server's, and the partition not? */
static bool is_left_behind(const struct call *call)
{
    const struct redis_route *route = call->route;
    return route->moves != NULL && call->patience != PATIENCE_FOLLOWS &&
           route->store->backend->owner[call->partition] != route->shard;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct call *call = arg;
    struct store *store = call->route->store;
    (void)fd, (void)what;
    store_enter(store);
    list_del(&call->entry);
    call->turns = 0;
    if (is_left_behind(call)) {
        end_call(call, NULL);
    } else {
        send_call(call);
    }
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
    const struct redis_route *route = call->route;
    list_push_back(route->moves != NULL ? &route->moves->calls
                                        : redis_cluster_calls(route->cluster),
                   &call->entry);
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
    if (redis_link_share(link, &call->command, on_reply, call) < 0) {
        send_later(call);
    }
}

/* At the fence. Until this node knows where the partition is, another try is as good as any. */
static void wait_or_end(struct call *call, bool gone)
{
    const struct redis_route *route = call->route;
    if (gone) {
        route->moves->gone(route->moves->arg, route->shard);
    }
    if (call->patience == PATIENCE_NONE || is_left_behind(call)) {
        end_call(call, NULL);
    } else {
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
    if (call->route->moves != NULL) {
        redis_link_check(call->link, reply);
        if (reply->type == REDIS_REPLY_ERROR && redis_error_is_fence(reply->str)) {
            wait_or_end(call, reply->str[0] == 'G');
        } else {
            end_call(call, reply);
        }
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

static int send_kept(const struct redis_route *route, struct span key,
                     const struct redis_outbox *command, enum redis_patience patience,
                     redis_reply_fn *fn, void *arg)
{
    struct call *call = mem_zalloc(sizeof(*call));
    int partition = partition_of_key(key);
    list_init(&call->entry);
    call->route = route;
    call->partition = partition >= 0 ? (unsigned)partition : 0;
    call->patience = partition >= 0 ? patience : PATIENCE_NONE;
    call->link = link_of(call);
    call->fn = fn;
    call->arg = arg;
    call->since_ms = clock_monotonic_ms();
    if (call->link == NULL || redis_link_share(call->link, command, on_reply, call) < 0) {
        free(call);
        return -1;
    }
    redis_outbox_add(&call->command, command);
    return 0;
}

/* The command behind the fence; by its text, since few are sent so, and not for long. */
static void put_guarded(struct redis_outbox *box, struct span key, struct span command)
{
    struct buf head = {0};
    uint64_t words = 0;
    struct span rest = span_skip(command, 1); /* "*3\r\n..." */
    CHECK(decimal_read(span_cut(&rest, '\r'), UINT32_MAX, &words));
    rest = span_skip(rest, 1);
    resp_command(&head, words + 4);
    resp_word(&head, SPAN("EVAL"));
    resp_word(&head, span_str(lua_guarded.fenced));
    resp_number(&head, 1);
    resp_word(&head, key);
    redis_outbox_put(box, buf_span(&head));
    redis_outbox_put(box, rest);
    buf_free(&head);
}

int redis_route_command(const struct redis_route *route, struct span key, struct span command,
                        enum redis_patience patience, redis_reply_fn *fn, void *arg)
{
    struct redis_outbox box = {0};
    if (route->cluster == NULL && route->moves == NULL) {
        return redis_link_command(route->link, command, fn, arg);
    }
    if (route->moves != NULL) {
        put_guarded(&box, key, command);
    } else {
        redis_outbox_put(&box, command);
    }
    int sent = send_kept(route, key, &box, patience, fn, arg);
    redis_outbox_free(&box);
    return sent;
}

int redis_route_share(const struct redis_route *route, struct span key,
                      const struct redis_outbox *command, enum redis_patience patience,
                      redis_reply_fn *fn, void *arg)
{
    return route->cluster == NULL && route->moves == NULL
               ? redis_link_share(route->link, command, fn, arg)
               : send_kept(route, key, command, patience, fn, arg);
}

bool redis_route_check(const struct redis_route *route, const redisReply *reply)
{
    return route->cluster == NULL && route->moves == NULL
               ? redis_link_check(route->link, reply)
               : reply != NULL && reply->type != REDIS_REPLY_ERROR;
}

struct span redis_route_timeline(const struct redis_route *route)
{
    struct redis_link *link = redis_route_link(route);
    return link != NULL ? redis_link_timeline(link) : SPAN("-");
}

void redis_route_end_calls(struct list *calls)
{
    while (!list_empty(calls)) {
        struct list *first = calls->next;
        list_del(first);
        end_call(LIST_ITEM(first, struct call, entry), NULL);
    }
}
