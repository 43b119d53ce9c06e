/* SPDX-License-Identifier: MIT */
/* redis script: one atomic step at a server, by the SHA-1 that the link loaded when it came up, or
 * with its text when the server has forgotten it (SCRIPT FLUSH, a fail-over). */
#ifndef MUSTER_STORE_REDIS_SCRIPT_H
#define MUSTER_STORE_REDIS_SCRIPT_H

#include "store/redis/eval.h"
#include "store/redis/route.h"

/* Runs and empties `call`, which waits where its partition is held. 0, or -1 when it was not sent. The answer
 * of a script is one string. */
int redis_script_run(struct redis_script *call, const struct redis_route *route,
                     backend_answer_fn *fn, void *arg) __attribute__((warn_unused_result));

/* The same for one that follows its partition. */
int redis_script_follow(struct redis_script *call, const struct redis_route *route,
                        backend_answer_fn *fn, void *arg) __attribute__((warn_unused_result));

#endif
