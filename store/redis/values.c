/* SPDX-License-Identifier: MIT */
#include "store/redis/values.h"

#include "store/base/resp.h"
#include "store/redis/reply.h"
#include "store/redis/script.h"
#include "store/redis/scripts.h"

static const struct span nothing = {NULL, 0};

/* GET, GETEX: nil or the value. SET ... NX: nil or OK. SET ... GET: nil or the value before. DEL:
 * how many. */
static enum lookup_result result_of(enum lookup_verb verb, const redisReply *reply)
{
    bool nil = reply->type == REDIS_REPLY_NIL;
    switch (verb) {
    case LOOKUP_GET:
    case LOOKUP_TOUCH:
        return nil ? LOOKUP_ABSENT : LOOKUP_DONE;
    case LOOKUP_ADD:
        return nil ? LOOKUP_TAKEN : LOOKUP_DONE;
    case LOOKUP_DELETE:
        return reply->integer == 0 ? LOOKUP_ABSENT : LOOKUP_DONE;
    case LOOKUP_PUT:
    case LOOKUP_SWAP:
        break;
    }
    return LOOKUP_DONE;
}

static void on_reply(void *arg, const redisReply *reply)
{
    struct lookup_call *call = arg;
    if (redis_route_check(call->route, reply)) {
        lookup_finish(call, result_of(call->verb, reply), redis_reply_text(reply));
    } else {
        lookup_finish(call, LOOKUP_LOST, nothing);
    }
}

/* See lookup.lua. */
static void on_swap(void *arg, enum backend_answer answer, struct span reply)
{
    if (answer != BACKEND_OK || reply.len == 0) {
        lookup_finish(arg, LOOKUP_LOST, nothing);
    } else if (reply.ptr[0] == '+') {
        lookup_finish(arg, LOOKUP_TAKEN, span_skip(reply, 1));
    } else {
        lookup_finish(arg, reply.ptr[0] == '=' ? LOOKUP_DONE : LOOKUP_ABSENT, nothing);
    }
}

static int send_swap(const struct redis_route *route, const struct lookup_visit *visit,
                     struct lookup_call *call)
{
    struct redis_script script;
    redis_script_begin(&script, &lua_lookup, visit->key);
    redis_script_word(&script, visit->old);
    redis_script_word(&script, visit->value);
    redis_script_number(&script, visit->life_ms);
    return redis_script_follow(&script, route, on_swap, call);
}

/* A node that stood still for longer than a lease may not have heard that the list of servers changed; values
 * are the one thing that it would look for without a look at the fence (fence.lua). */
static bool may_be_elsewhere(const struct redis_route *route)
{
    return route->cluster == NULL && route->moves == NULL && !redis_link_is_on_roll(route->link);
}

static void print_set(const struct lookup_visit *visit, struct span mode, struct buf *out)
{
    resp_command(out, 6);
    resp_word(out, SPAN("SET"));
    resp_word(out, visit->key);
    resp_word(out, visit->value);
    resp_word(out, SPAN("PX"));
    resp_number(out, visit->life_ms);
    resp_word(out, mode);
}

static void print_command(const struct lookup_visit *visit, struct buf *out)
{
    switch (visit->verb) {
    case LOOKUP_GET:
    case LOOKUP_DELETE:
        resp_command(out, 2);
        resp_word(out, visit->verb == LOOKUP_GET ? SPAN("GET") : SPAN("DEL"));
        resp_word(out, visit->key);
        break;
    case LOOKUP_TOUCH:
        resp_command(out, 4);
        resp_word(out, SPAN("GETEX"));
        resp_word(out, visit->key);
        resp_word(out, SPAN("PX"));
        resp_number(out, visit->life_ms);
        break;
    case LOOKUP_ADD:
        print_set(visit, SPAN("NX"), out);
        break;
    case LOOKUP_PUT:
        print_set(visit, SPAN("GET"), out);
        break;
    case LOOKUP_SWAP:
        break; /* a script */
    }
}

int redis_values_send(const struct redis_route *route, const struct lookup_visit *visit,
                      struct lookup_call *call)
{
    struct buf command = {0};
    call->route = route;
    if (may_be_elsewhere(route)) {
        return -1;
    }
    if (visit->verb == LOOKUP_SWAP) {
        return send_swap(route, visit, call);
    }
    print_command(visit, &command);
    int sent = redis_route_command(route, visit->key, buf_span(&command), PATIENCE_FOLLOWS,
                                   on_reply, call);
    buf_free(&command);
    return sent;
}
