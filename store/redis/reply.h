/* SPDX-License-Identifier: MIT */
/* redis reply: a reader of hiredis whose replies lie in blocks of memory instead of an allocation
 * for each value: a read of a stream brings five values an entry, and to allocate and free each of
 * them took a fifth of a sink's time.
 *
 * Replies look as hiredis' own do. There is one at a time. */
#ifndef MUSTER_STORE_REDIS_REPLY_H
#define MUSTER_STORE_REDIS_REPLY_H

#include "store/base/span.h"

#include <hiredis/hiredis.h>

struct redis_replies;

/* New. */
struct redis_replies *redis_replies_new(void) __attribute__((returns_nonnull, warn_unused_result));
void redis_replies_free(struct redis_replies **replies);

/* Borrowed: bytes go in with redisReaderFeed. */
redisReader *redis_replies_reader(struct redis_replies *replies);

/* 1 and the next whole reply in *reply, borrowed until redis_replies_done, which must come before
 * the next call; 0 when there is none yet; -1 when what was fed is not Redis' protocol,
 * or a reply announces more than a million elements. */
int redis_replies_next(struct redis_replies *replies, const redisReply **reply)
    __attribute__((warn_unused_result));
void redis_replies_done(struct redis_replies *replies);

/* The bytes of a string, borrowed with the reply; empty when it is of another kind. */
static inline struct span redis_reply_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? span_of(reply->str, (size_t)reply->len)
                                             : span_of(NULL, 0);
}

#endif
