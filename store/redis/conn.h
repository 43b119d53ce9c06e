/* SPDX-License-Identifier: MIT */
/* redis conn: one connection, TCP or TLS over it, that speaks the Redis protocol: commands out in
 * order, answers in order to their callbacks, and on a subscribed connection everything else as
 * pushes. Commands of one turn of the loop leave in one write, at its end, and what is long in several
 * turns. hiredis' reader behind a
 * socket of our own; not hiredis' async context, which keeps a dictionary of channels, has no bound
 * on what it queues, and frees itself at times of its choosing; nor a bufferevent, which waits
 * another turn to write.
 */
#ifndef MUSTER_STORE_REDIS_CONN_H
#define MUSTER_STORE_REDIS_CONN_H

#include "store/backend.h"
#include "store/redis/outbox.h"
#include "store/redis/tls.h"

#include <hiredis/hiredis.h>
#include <sys/socket.h>

struct redis_conn;

/* Where to. All is borrowed until redis_conn_new returns, but `store` for the connection's life. */
struct redis_dial {
    struct store *store;
    const struct sockaddr *address;
    int len;
    const char *host;                  /* as the certificate has to name it */
    const struct redis_tls_files *tls; /* NULL: no TLS */
};

struct redis_conn_events {
    /* Commands may be sent; with TLS the server has proved its identity. */
    void (*connected)(void *arg, struct redis_conn *conn);
    /* What no command waits for: pub/sub messages and confirmations. Borrowed. */
    void (*push)(void *arg, const redisReply *reply);
    /* The connection failed; it is not used by itself any more and waits for its free. */
    void (*lost)(void *arg, const char *text);
};

/* `reply` is borrowed; NULL when the connection went before the answer. Called exactly once. */
typedef void redis_reply_fn(void *arg, const redisReply *reply);

/* New connection, on its way. `events` are borrowed for its life. NULL, with a message in `error`:
 * no socket, or no use in the files for TLS. */
struct redis_conn *redis_conn_new(const struct redis_dial *dial,
                                  const struct redis_conn_events *events, void *arg, char *error,
                                  size_t error_size) __attribute__((warn_unused_result));

/* Queues `command` (one or more, already in RESP) for the end of the turn. `fn` gets the one
 * answer; NULL for what is answered by pushes only. */
void redis_conn_send(struct redis_conn *conn, struct span command, redis_reply_fn *fn, void *arg);

/* The same for a command whose long parts are shared, not copied. It leaves in steps, a turn each, and
 * what is sent after it waits behind it. */
void redis_conn_share(struct redis_conn *conn, const struct redis_outbox *command,
                      redis_reply_fn *fn, void *arg);

/* From here on CLIENT REPLY SKIP is sent, too, which has no answer but where it is refused: that ends the
 * connection, for nobody waits for it. */
void redis_conn_skips(struct redis_conn *conn);

/* Bytes that the kernel did not take yet. */
size_t redis_conn_queued(const struct redis_conn *conn);

/* Closes and nulls; what waits for an answer gets NULL. May be called inside any callback. */
void redis_conn_free(struct redis_conn **conn);

#endif
