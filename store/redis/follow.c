/* SPDX-License-Identifier: MIT */
#include "store/redis/follow.h"

#include "store/base/resp.h"
#include "store/redis/greeting.h"
#include "store/redis/lookup.h"
#include "store/store_impl.h"

enum { VOTES = 2 }; /* sentinels that have to name another master */

struct redis_follow {
    struct store *store;
    struct resolver *resolver;
    const struct redis_server *server;
    const struct redis_tls_files *tls;
    redis_follow_fn *fn;
    void *arg;
    unsigned which; /* sentinel */
    struct redis_lookup *lookup;
    struct redis_conn *conn;
    bool connected;
    bool asked;  /* and not answered */
    char *at;    /* "host port" of the link's server */
    char *other; /* what a sentinel named instead; NULL: none did */
    unsigned votes;
};

static char *endpoint_text(const char *host, unsigned port)
{
    struct buf text = {0};
    buf_printf(&text, "%s %u", host, port);
    char *copy = mem_dup(buf_span(&text));
    buf_free(&text);
    return copy;
}

static const struct redis_endpoint *current(const struct redis_follow *follow)
{
    return &follow->server->at[follow->which % follow->server->count];
}

static void hang_up(struct redis_follow *follow)
{
    redis_lookup_cancel(&follow->lookup);
    redis_conn_free(&follow->conn);
    follow->connected = follow->asked = false;
}

static void begin(struct redis_follow *follow);

/* This one is of no use, or has said what it can. */
static void leave(struct redis_follow *follow)
{
    hang_up(follow);
    follow->which++;
}

static void take_answer(struct redis_follow *follow, const char *host, unsigned port)
{
    char *named = endpoint_text(host, port);
    bool same = strcmp(named, follow->at) == 0;
    bool again = !same && follow->other != NULL && strcmp(named, follow->other) == 0;
    follow->votes = same ? 0 : again ? follow->votes + 1 : 1;
    free(follow->other);
    follow->other = named;
    if (same) {
        return;
    }
    size_t needed = follow->server->count < VOTES ? follow->server->count : VOTES;
    leave(follow);
    if (follow->votes >= needed) {
        follow->votes = 0;
        follow->fn(follow->arg);
    } else {
        begin(follow);
    }
}

/* [host, port], or nil for a name that it does not know */
static void on_answer(void *arg, const redisReply *reply)
{
    struct redis_follow *follow = arg;
    if (reply == NULL || !follow->asked) {
        return;
    }
    follow->asked = false;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[0]->type == REDIS_REPLY_STRING &&
        reply->element[1]->type == REDIS_REPLY_STRING) {
        take_answer(follow, reply->element[0]->str,
                    (unsigned)strtoul(reply->element[1]->str, NULL, 10));
    } else {
        leave(follow);
    }
}

static void on_login(void *arg, const redisReply *reply)
{
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        leave(arg);
    }
}

static void ask(struct redis_follow *follow)
{
    struct buf command = {0};
    resp_command(&command, 3);
    resp_word(&command, SPAN("SENTINEL"));
    resp_word(&command, SPAN("get-master-addr-by-name"));
    resp_word(&command, span_str(follow->server->master));
    follow->asked = true;
    redis_conn_send(follow->conn, buf_span(&command), on_answer, follow);
    buf_free(&command);
}

static void on_connected(void *arg, struct redis_conn *conn)
{
    struct redis_follow *follow = arg;
    follow->connected = true;
    redis_greeting_login(conn, &follow->server->sentinel_login, on_login, follow);
    ask(follow);
}

static void on_push(void *arg, const redisReply *reply)
{
    (void)arg, (void)reply;
}

static void on_lost(void *arg, const char *text)
{
    (void)text;
    leave(arg);
}

static void on_address(void *arg, const struct sockaddr *address, int len, const char *text)
{
    static const struct redis_conn_events events = {on_connected, on_push, on_lost};
    struct redis_follow *follow = arg;
    char error[256];
    (void)text;
    follow->lookup = NULL;
    if (address == NULL) {
        leave(follow);
        return;
    }
    struct redis_dial dial = {follow->store, address, len, current(follow)->host, follow->tls};
    follow->conn = redis_conn_new(&dial, &events, follow, error, sizeof(error));
    if (follow->conn == NULL) {
        leave(follow);
    }
}

static void begin(struct redis_follow *follow)
{
    struct redis_lookup *lookup =
        redis_lookup_start(follow->store, follow->resolver, current(follow),
                           follow->which / (unsigned)follow->server->count, on_address, follow);
    if (lookup != NULL) {
        follow->lookup = lookup;
    }
}

struct redis_follow *redis_follow_new(struct store *store, struct resolver *resolver,
                                      const struct redis_server *server,
                                      const struct redis_tls_files *tls, redis_follow_fn *fn,
                                      void *arg)
{
    struct redis_follow *follow = mem_zalloc(sizeof(*follow));
    follow->store = store;
    follow->resolver = resolver;
    follow->server = server;
    follow->tls = tls;
    follow->fn = fn;
    follow->arg = arg;
    return follow;
}

void redis_follow_beat(struct redis_follow *follow, const struct redis_endpoint *at)
{
    free(follow->at);
    follow->at = endpoint_text(at->host, at->port);
    if (follow->connected && !follow->asked) {
        ask(follow);
        return;
    }
    if (follow->conn != NULL || follow->lookup != NULL) {
        leave(follow); /* no answer within a beat */
    }
    begin(follow);
}

void redis_follow_stop(struct redis_follow *follow)
{
    hang_up(follow);
    free(follow->other);
    follow->other = NULL;
    follow->votes = 0;
}

void redis_follow_free(struct redis_follow **follow)
{
    if (*follow == NULL) {
        return;
    }
    redis_follow_stop(*follow);
    free((*follow)->at);
    free(*follow);
    *follow = NULL;
}
