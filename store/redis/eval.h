/* SPDX-License-Identifier: MIT */
/* redis eval: a script, its key and its arguments as a command. */
#ifndef MUSTER_STORE_REDIS_EVAL_H
#define MUSTER_STORE_REDIS_EVAL_H

#include "store/base/buf.h"
#include "store/redis/conn.h"
#include "store/redis/scripts.h"

/* A script, its key and its arguments: begin, add words, run. */
struct redis_script {
    const struct redis_lua *lua;
    struct buf key;
    bool fenced;                /* it goes behind the fence, where it has one */
    struct redis_outbox before; /* key and arguments, in RESP, */
    struct buf words;           /* and those behind the last chunk */
    size_t count;
    unsigned more_keys; /* so many of the first words are keys, too: never in a cluster */
};

void redis_script_begin(struct redis_script *call, const struct redis_lua *lua, struct span key);
void redis_script_word(struct redis_script *call, struct span word);
void redis_script_number(struct redis_script *call, uint64_t number);

/* Adds `count` words that lie in `chunk` in RESP (store/base/resp.h); takes a reference. */
void redis_script_share(struct redis_script *call, struct chunk *chunk, size_t count);

/* Sends and empties `call` over a connection, by its text or by its SHA-1; `fn` deals with NOSCRIPT. */
void redis_script_send(struct redis_script *call, struct redis_conn *conn, bool by_text,
                       redis_reply_fn *fn, void *arg);

/* Appends EVAL or EVALSHA; `call` keeps its words. */
void redis_script_print(const struct redis_script *call, bool by_text, struct redis_outbox *out);

void redis_script_free(struct redis_script *call);

#endif
