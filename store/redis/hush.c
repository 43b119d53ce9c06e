/* SPDX-License-Identifier: MIT */
#include "store/redis/hush.h"

#include "store/base/resp.h"

/* https://redis.io/docs/latest/commands/client-reply: SKIP has no answer, nor has what follows it. */
static const char skip[] = "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n";
static const char on[] = "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n";
static const char skipped[] = "*1\r\n$4\r\nTIME\r\n";

/* No number: the server answered SKIP or TIME, and from here on each answer belongs to the question before
 * it. */
static void on_heard(void *arg, const redisReply *reply)
{
    struct redis_hush *hush = arg;
    if (reply == NULL) {
        return;
    }
    hush->works = reply->type == REDIS_REPLY_INTEGER;
    hush->refused = !hush->works;
    if (hush->works) {
        redis_conn_skips(hush->conn);
    } else {
        hush->lost(hush->arg, "the server answers what CLIENT REPLY SKIP told it to skip");
    }
}

static void on_known(void *arg, const redisReply *reply)
{
    struct redis_hush *hush = arg;
    if (reply == NULL) {
        return;
    }
    if (reply->type != REDIS_REPLY_STATUS) {
        hush->refused = true;
        return;
    }
    struct buf heard = {0};
    resp_command(&heard, 3);
    resp_word(&heard, SPAN("PUBLISH"));
    resp_joined(&heard, hush->prefix, SPAN(":hush"));
    resp_word(&heard, SPAN(""));
    redis_conn_send(hush->conn, SPAN(skip), NULL, NULL);
    redis_conn_send(hush->conn, SPAN(skipped), NULL, NULL);
    redis_conn_send(hush->conn, buf_span(&heard), on_heard, hush);
    buf_free(&heard);
}

void redis_hush_begin(struct redis_hush *hush, struct redis_conn *conn, struct span prefix,
                      redis_hush_lost_fn *lost, void *arg)
{
    hush->conn = conn;
    hush->prefix = prefix;
    hush->lost = lost;
    hush->arg = arg;
    if (!hush->refused) {
        redis_conn_send(conn, SPAN(on), on_known, hush);
    }
}

void redis_hush_forget(struct redis_hush *hush)
{
    hush->works = false;
    hush->conn = NULL;
}

void redis_hush_send(struct redis_hush *hush, struct span command)
{
    redis_conn_send(hush->conn, SPAN(skip), NULL, NULL);
    redis_conn_send(hush->conn, command, NULL, NULL);
}
