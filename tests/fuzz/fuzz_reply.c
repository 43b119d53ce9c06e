/* SPDX-License-Identifier: MIT */
/* Bytes of a server: our reader of replies and hiredis' own read the same in them, whole and in pieces, up to
 * where one of them refuses to go on. */
#include "store/base/buf.h"
#include "store/redis/reply.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEEPEST = 16 };

static void print(const redisReply *reply, int depth, struct buf *out)
{
    buf_printf(out, "%d %lld %zu ", reply->type,
               reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0, reply->elements);
    if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS ||
        reply->type == REDIS_REPLY_ERROR) {
        buf_append(out, span_of(reply->str, (size_t)reply->len));
        if (reply->str[reply->len] != '\0') {
            abort();
        }
    }
    buf_append(out, SPAN("\n"));
    for (size_t i = 0; i < reply->elements && depth < DEEPEST; i++) {
        print(reply->element[i], depth + 1, out);
    }
}

/* How many replies were read. */
static unsigned read_ours(struct redis_replies *replies, struct span bytes, size_t piece,
                          struct buf *out)
{
    const redisReply *reply;
    unsigned count = 0;
    int got = 0;
    while (bytes.len > 0 && got >= 0) {
        size_t len = piece < bytes.len ? piece : bytes.len;
        if (redisReaderFeed(redis_replies_reader(replies), bytes.ptr, len) != REDIS_OK) {
            break;
        }
        bytes = span_skip(bytes, len);
        while ((got = redis_replies_next(replies, &reply)) == 1) {
            print(reply, 0, out);
            redis_replies_done(replies);
            count++;
        }
    }
    return count;
}

static unsigned read_theirs(struct span bytes, unsigned most, struct buf *out)
{
    redisReader *reader = redisReaderCreate();
    unsigned count = 0;
    void *reply = NULL;
    redisReaderFeed(reader, bytes.ptr, bytes.len);
    while (count < most && redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
        print(reply, 0, out);
        freeReplyObject(reply);
        count++;
    }
    redisReaderFree(reader);
    return count;
}

static void same(const struct buf *a, const struct buf *b, const char *what)
{
    if (!span_eq(buf_span(a), buf_span(b))) {
        fprintf(stderr, "broken: %s\n%.*s---\n%.*s", what, SPAN_ARG(buf_span(a)),
                SPAN_ARG(buf_span(b)));
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf whole, pieces, theirs;
    whole.len = pieces.len = theirs.len = 0;
    struct redis_replies *first = redis_replies_new(), *second = redis_replies_new();
    unsigned count = read_ours(first, span_of(data, size), size, &whole);
    read_ours(second, span_of(data, size), 7, &pieces);
    same(&whole, &pieces, "whole and in pieces");
    read_theirs(span_of(data, size), count, &theirs);
    same(&whole, &theirs, "ours and hiredis' own");
    redis_replies_free(&first);
    redis_replies_free(&second);
    return 0;
}
