/* SPDX-License-Identifier: MIT */
/* redis greeting: what a fresh connection says first, and which errors mean that the server at the
 * other end is of no use. */
#ifndef MUSTER_STORE_REDIS_GREETING_H
#define MUSTER_STORE_REDIS_GREETING_H

#include "store/redis/conn.h"
#include "store/redis/url.h"

/* Sends AUTH, SELECT (where the URL asks for them) and CLIENT SETNAME `name`; `fn` gets each
 * answer: an error is fatal if redis_greeting_refused. */
void redis_greeting_send(struct redis_conn *conn, const struct redis_server *server,
                         const char *name, redis_reply_fn *fn, void *arg);

/* Sends AUTH where there is something to log in with. */
void redis_greeting_login(struct redis_conn *conn, const struct redis_login *login,
                          redis_reply_fn *fn, void *arg);

/* SCRIPT LOAD of those that a link uses; `fenced`: as a server of a list has them. */
void redis_greeting_load(struct redis_conn *conn, bool fenced, redis_reply_fn *fn, void *arg);

/* An error to a greeting other than a server's too old for, or a user's not allowed, SETNAME. */
bool redis_greeting_refused(const redisReply *reply);

/* Says fence.lua so: the partition is on its way to another server, or has left? */
bool redis_error_is_fence(const char *text);

/* Error text of any answer that means: wrong server, or one that cannot serve now. */
bool redis_error_is_fatal(const char *text);

#endif
