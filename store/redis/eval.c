/* SPDX-License-Identifier: MIT */
#include "store/redis/eval.h"

#include "store/redis/resp.h"

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

void redis_script_print(const struct redis_script *call, bool by_text, struct buf *out)
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
    redis_script_print(call, by_text, &command);
    redis_conn_send(conn, buf_span(&command), fn, arg);
    buf_free(&command);
    buf_free(&call->words);
}
