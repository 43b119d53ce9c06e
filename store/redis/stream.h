/* SPDX-License-Identifier: MIT */
/* redis stream: the word `stream` as commands: the lanes are Redis Streams. */
#ifndef MUSTER_STORE_REDIS_STREAM_H
#define MUSTER_STORE_REDIS_STREAM_H

#include "store/backend.h"
#include "store/redis/route.h"

int redis_stream_append(const struct redis_route *route, const struct stream_call *call,
                        backend_answer_fn *fn, void *arg) __attribute__((warn_unused_result));
int redis_stream_read(const struct redis_route *route, const struct stream_query *query,
                      stream_read_fn *fn, void *arg) __attribute__((warn_unused_result));
int redis_stream_state(const struct redis_route *route, const struct stream_marks *marks,
                       backend_answer_fn *fn, void *arg) __attribute__((warn_unused_result));

/* Answers with a digit for each part, 1 where there is one: asked of a server that has them all. */
int redis_stream_parts(const struct redis_route *route, backend_answer_fn *fn, void *arg)
    __attribute__((warn_unused_result));

#endif
