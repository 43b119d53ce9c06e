/* SPDX-License-Identifier: MIT */
/* redis wait: do enough replicas have what a server has written? WAIT blocks its connection and
 * speaks of what came over it, so it has a connection of its own, and a small write of its own before
 * each question: what other connections wrote before that one is covered by it.
 *
 *     redis_wait_ask --> waiting --SET, WAIT: one at a time, for all that wait--> told
 */
#ifndef MUSTER_STORE_REDIS_WAIT_H
#define MUSTER_STORE_REDIS_WAIT_H

#include "store/backend.h"
#include "store/redis/conn.h"
#include "store/redis/url.h"

struct redis_wait;

struct redis_wait_events {
    /* The connection is of no use any more: redis_wait_hang_up is to be called. */
    void (*lost)(void *arg, const char *text);
    /* Too few replicas, or the server refused the question: a line for a person. */
    void (*trouble)(void *arg, const char *text);
    /* A partition that the server has, where it is one of a cluster; -1: it is none. */
    int (*tag)(void *arg);
};

/* New, without a connection. Asks for `store->replicas`. All is borrowed for its life. */
struct redis_wait *redis_wait_new(struct store *store, const struct redis_server *server,
                                  const struct redis_wait_events *events, void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

/* Connects to where the link does. 0, or -1 with a message in `error`. */
int redis_wait_dial(struct redis_wait *wait, const struct redis_dial *dial, char *error,
                    size_t error_size) __attribute__((warn_unused_result));

/* `fn` gets BACKEND_OK when enough replicas have all that the server answered before this call,
 * BACKEND_REFUSED when they did not within STORE_REPLICAS_MS, BACKEND_LOST when the connection went. 0,
 * or -1 without a call of `fn`: there is no connection. */
int redis_wait_ask(struct redis_wait *wait, backend_answer_fn *fn, void *arg)
    __attribute__((warn_unused_result));

/* Closes the connection; askers that wait are told BACKEND_LOST. */
void redis_wait_hang_up(struct redis_wait *wait);

/* Nulls; NULL and pointer to NULL are fine. */
void redis_wait_free(struct redis_wait **wait);

#endif
