/* SPDX-License-Identifier: MIT */
#include "store/redis/role.h"

#include "store/base/decimal.h"
#include "store/redis/reply.h"

#include <limits.h>

void redis_role_ask(struct redis_conn *conn, redis_reply_fn *on_info, redis_reply_fn *on_role,
                    void *arg)
{
    redis_conn_send(conn, SPAN("*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n"), on_info, arg);
    redis_conn_send(conn, SPAN("*1\r\n$4\r\nROLE\r\n"), on_role, arg);
}

/* The digits of `field` at the start of a line of INFO; empty when it has none. */
static struct span info_field(struct span info, struct span field)
{
    while (info.len > 0) {
        struct span line = span_cut(&info, '\n');
        if (span_starts_with(line, field)) {
            struct span value = span_skip(line, field.len);
            return span_cut(&value, '\r');
        }
    }
    return span_of(NULL, 0);
}

void redis_role_take(struct redis_role *role, const redisReply *reply)
{
    struct span info = redis_reply_text(reply);
    struct span id = info_field(info, SPAN("master_replid:"));
    uint64_t followers;
    role->followers =
        decimal_read(info_field(info, SPAN("connected_slaves:")), UINT_MAX, &followers)
            ? (unsigned)followers
            : UINT_MAX;
    role->unguarded = id.len > 0 && info_field(info, SPAN("min_slaves_good_slaves:")).len == 0;
    if (id.len < REDIS_TIMELINE_DIGITS || strspn(id.ptr, "0") >= REDIS_TIMELINE_DIGITS) {
        snprintf(role->timeline, sizeof(role->timeline), "-");
    } else {
        snprintf(role->timeline, sizeof(role->timeline), "%.*s", REDIS_TIMELINE_DIGITS, id.ptr);
    }
}

bool redis_role_is_replica(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
           reply->element[0]->type == REDIS_REPLY_STRING &&
           strcmp(reply->element[0]->str, "master") != 0;
}
