/* SPDX-License-Identifier: MIT */
#include "store/redis/push.h"

#include "store/base/resp.h"
#include "store/redis/reply.h"

/* [["s"]"message", channel, payload], [["s"]"subscribe" | ["s"]"unsubscribe", channel, count] */
enum redis_push_kind redis_push_read(const redisReply *reply, struct redis_push *push)
{
    *push = (struct redis_push){.kind = PUSH_NONE};
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        return PUSH_NONE;
    }
    struct span word = redis_reply_text(reply->element[0]);
    bool slots = span_eq(word, SPAN("smessage")) || span_eq(word, SPAN("ssubscribe")) ||
                 span_eq(word, SPAN("sunsubscribe"));
    word = span_skip(word, slots);
    push->channel = redis_reply_text(reply->element[1]);
    push->payload = redis_reply_text(reply->element[2]);
    push->kind = span_eq(word, SPAN("message"))     ? PUSH_MESSAGE
                 : span_eq(word, SPAN("subscribe")) ? PUSH_ON
                                                    : PUSH_OFF;
    return push->kind;
}

void redis_push_subscribe(struct redis_conn *conn, const struct span *channels, size_t count,
                          bool sharded, bool on)
{
    struct buf out = {0};
    resp_command(&out, count + 1);
    resp_word(&out, sharded ? on ? SPAN("SSUBSCRIBE") : SPAN("SUNSUBSCRIBE")
                    : on ? SPAN("SUBSCRIBE")
                            : SPAN("UNSUBSCRIBE"));
    for (size_t i = 0; i < count; i++) {
        resp_word(&out, channels[i]);
    }
    redis_conn_send(conn, buf_span(&out), NULL, NULL);
    buf_free(&out);
}
