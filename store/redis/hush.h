/* SPDX-License-Identifier: MIT */
/* redis hush: commands whose answers nobody reads. Where the server knows CLIENT REPLY SKIP, it writes
 * none, and nobody is woken to read it.
 *
 *     connected -> CLIENT REPLY ON: OK -> SKIP, TIME, PUBLISH: a number alone -> works
 *
 * What a server does not know, or its ACL forbids, is not used, and answers come as ever. */
#ifndef MUSTER_STORE_REDIS_HUSH_H
#define MUSTER_STORE_REDIS_HUSH_H

#include "store/redis/conn.h"

#include <stdbool.h>

/* The connection is of no use: answers come in another order than questions. */
typedef void redis_hush_lost_fn(void *arg, const char *text);

struct redis_hush {
    bool works;   /* on this connection */
    bool refused; /* by the server, on whatever connection */
    struct redis_conn *conn;
    struct span prefix;
    redis_hush_lost_fn *lost;
    void *arg;
};

/* The connection is there, borrowed until redis_hush_forget: asks whether it works. What it publishes for
 * that goes to a channel below `prefix` that nobody hears. */
void redis_hush_begin(struct redis_hush *hush, struct redis_conn *conn, struct span prefix,
                      redis_hush_lost_fn *lost, void *arg);

/* The connection goes. */
void redis_hush_forget(struct redis_hush *hush);

/* Sends `command`, in RESP, so that nothing answers it; only where it works. */
void redis_hush_send(struct redis_hush *hush, struct span command);

#endif
