/* SPDX-License-Identifier: MIT */
#include "store/redis/eval.h"

#include "store/base/resp.h"

void redis_script_begin(struct redis_script *call, const struct redis_lua *lua, struct span key)
{
    *call = (struct redis_script){.lua = lua};
    buf_append(&call->key, key);
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

void redis_script_share(struct redis_script *call, struct chunk *chunk, size_t count)
{
    redis_outbox_put(&call->before, buf_span(&call->words));
    call->words.len = 0;
    redis_outbox_share(&call->before, chunk);
    call->count += count;
}

void redis_script_print(const struct redis_script *call, bool by_text, struct redis_outbox *out)
{
    struct buf head = {0};
    resp_command(&head, 3 + call->count);
    resp_word(&head, by_text ? SPAN("EVAL") : SPAN("EVALSHA"));
    const struct redis_lua *lua = call->lua;
    bool fenced = call->fenced && lua->fenced != NULL;
    resp_word(&head, span_str(by_text  ? fenced ? lua->fenced : lua->text
                              : fenced ? lua->fenced_sha
                                       : lua->sha));
    resp_number(&head, 1 + call->more_keys);
    redis_outbox_put(out, buf_span(&head));
    redis_outbox_add(out, &call->before);
    redis_outbox_put(out, buf_span(&call->words));
    buf_free(&head);
}

void redis_script_send(struct redis_script *call, struct redis_conn *conn, bool by_text,
                       redis_reply_fn *fn, void *arg)
{
    struct redis_outbox command = {0};
    redis_script_print(call, by_text, &command);
    redis_conn_share(conn, &command, fn, arg);
    redis_outbox_free(&command);
    redis_script_free(call);
}

void redis_script_free(struct redis_script *call)
{
    redis_outbox_free(&call->before);
    buf_free(&call->words);
    buf_free(&call->key);
}
