/* SPDX-License-Identifier: MIT */
#include "store/redis/script.h"

#include "store/base/mem.h"
#include "store/redis/resp.h"

struct script_run {
    struct redis_link *link;
    struct redis_script call;
    backend_answer_fn *fn;
    void *arg;
    bool by_text;
};

void redis_script_begin(struct redis_script *call, const char *text, const char *sha,
                        struct span key)
{
    *call = (struct redis_script){.text = text, .sha = sha};
    redis_script_word(call, key);
}

void redis_script_word(struct redis_script *call, struct span word)
{
    resp_word(&call->words, word);
    call->count++;
}

void redis_script_number(struct redis_script *call, uint64_t number)
{
    resp_number(&call->words, number);
    call->count++;
}

static void finish(struct script_run *run, enum backend_answer answer, struct span reply)
{
    run->fn(run->arg, answer, reply);
    buf_free(&run->call.words);
    free(run);
}

static void on_reply(void *arg, const redisReply *reply);

static void print_command(const struct redis_script *call, bool by_text, struct buf *out)
{
    resp_command(out, 3 + call->count);
    resp_word(out, by_text ? SPAN("EVAL") : SPAN("EVALSHA"));
    resp_word(out, span_str(by_text ? call->text : call->sha));
    resp_number(out, 1);
    buf_append(out, buf_span(&call->words));
}

void redis_script_send(struct redis_script *call, struct redis_conn *conn, bool by_text,
                       redis_reply_fn *fn, void *arg)
{
    struct buf command = {0};
    print_command(call, by_text, &command);
    redis_conn_send(conn, buf_span(&command), fn, arg);
    buf_free(&command);
    buf_free(&call->words);
}

static int send_run(struct script_run *run)
{
    struct buf command = {0};
    print_command(&run->call, run->by_text, &command);
    int sent = redis_link_command(run->link, buf_span(&command), on_reply, run);
    buf_free(&command);
    return sent;
}

static void on_reply(void *arg, const redisReply *reply)
{
    struct script_run *run = arg;
    struct span nothing = {NULL, 0};
    if (redis_link_check(run->link, reply)) {
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

int redis_script_run(struct redis_script *call, struct redis_link *link, backend_answer_fn *fn,
                     void *arg)
{
    struct script_run *run = mem_zalloc(sizeof(*run));
    run->link = link;
    run->call = *call;
    run->fn = fn;
    run->arg = arg;
    *call = (struct redis_script){0};
    if (send_run(run) < 0) {
        buf_free(&run->call.words);
        free(run);
        return -1;
    }
    return 0;
}
