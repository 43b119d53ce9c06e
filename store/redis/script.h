/* SPDX-License-Identifier: MIT */
/* redis script: one atomic step at a server, by the SHA-1 that the link loaded when it came up, or
 * with its text when the server has forgotten it (SCRIPT FLUSH, a fail-over). */
#ifndef MUSTER_STORE_REDIS_SCRIPT_H
#define MUSTER_STORE_REDIS_SCRIPT_H

#include "store/base/buf.h"
#include "store/redis/link.h"

/* A script, its one key and its arguments: begin, add words with resp_word on `words`, run. */
struct redis_script {
    const char *text, *sha;
    struct buf words; /* key and arguments, in RESP */
    size_t count;
};

void redis_script_begin(struct redis_script *call, const char *text, const char *sha,
                        struct span key);
void redis_script_word(struct redis_script *call, struct span word);
void redis_script_number(struct redis_script *call, uint64_t number);

/* Sends and empties `call` over a connection, by its text or by its SHA-1; `fn` deals with NOSCRIPT. */
void redis_script_send(struct redis_script *call, struct redis_conn *conn, bool by_text,
                       redis_reply_fn *fn, void *arg);

/* Runs and empties `call`. 0, or -1 when it was not sent. The answer of a script is one string. */
int redis_script_run(struct redis_script *call, struct redis_link *link, backend_answer_fn *fn,
                     void *arg) __attribute__((warn_unused_result));

#endif
