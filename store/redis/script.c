/* SPDX-License-Identifier: MIT */
#include "store/redis/script.h"

#include "store/base/mem.h"

struct script_run {
    const struct redis_route *route;
    struct redis_script call;
    backend_answer_fn *fn;
    void *arg;
    bool by_text;
    enum redis_patience patience;
};

static void finish(struct script_run *run, enum backend_answer answer, struct span reply)
{
    run->fn(run->arg, answer, reply);
    redis_script_free(&run->call);
    free(run);
}

static void on_reply(void *arg, const redisReply *reply);

static int send_run(struct script_run *run)
{
    struct redis_outbox command = {0};
    redis_script_print(&run->call, run->by_text, &command);
    int sent = redis_route_share(run->route, buf_span(&run->call.key), &command, run->patience,
                                 on_reply, run);
    redis_outbox_free(&command);
    return sent;
}

static void on_reply(void *arg, const redisReply *reply)
{
    struct script_run *run = arg;
    struct span nothing = {NULL, 0};
    if (redis_route_check(run->route, reply)) {
        finish(run, reply->type == REDIS_REPLY_STRING ? BACKEND_OK : BACKEND_REFUSED,
               span_of(reply->str, (size_t)reply->len));
        return;
    }
    bool forgotten = reply != NULL && !run->by_text && strncmp(reply->str, "NOSCRIPT", 8) == 0;
    run->by_text = true;
    if (!forgotten || send_run(run) < 0) {
        finish(run, reply != NULL ? BACKEND_REFUSED : BACKEND_LOST, nothing);
    }
}

static int begin_run(struct redis_script *call, const struct redis_route *route,
                     enum redis_patience patience, backend_answer_fn *fn, void *arg)
{
    struct script_run *run = mem_zalloc(sizeof(*run));
    run->route = route;
    run->call = *call;
    run->call.fenced = route->cluster == NULL;
    run->patience = patience;
    run->fn = fn;
    run->arg = arg;
    *call = (struct redis_script){0};
    if (send_run(run) < 0) {
        redis_script_free(&run->call);
        free(run);
        return -1;
    }
    return 0;
}

int redis_script_run(struct redis_script *call, const struct redis_route *route,
                     backend_answer_fn *fn, void *arg)
{
    return begin_run(call, route, PATIENCE_HOLDS, fn, arg);
}

int redis_script_follow(struct redis_script *call, const struct redis_route *route,
                        backend_answer_fn *fn, void *arg)
{
    return begin_run(call, route, PATIENCE_FOLLOWS, fn, arg);
}
