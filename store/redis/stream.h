/* SPDX-License-Identifier: MIT */
/* redis stream: the word `stream` as commands: the lanes are Redis Streams. */
#ifndef MUSTER_STORE_REDIS_STREAM_H
#define MUSTER_STORE_REDIS_STREAM_H

#include "store/backend.h"
#include "store/redis/link.h"

int redis_stream_append(struct redis_link *link, const struct stream_call *call,
                        backend_answer_fn *fn, void *arg) __attribute__((warn_unused_result));
int redis_stream_read(struct redis_link *link, const struct stream_query *query, stream_read_fn *fn,
                      void *arg) __attribute__((warn_unused_result));
int redis_stream_state(struct redis_link *link, const struct stream_marks *marks,
                       backend_answer_fn *fn, void *arg) __attribute__((warn_unused_result));

#endif
