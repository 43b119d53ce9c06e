/* SPDX-License-Identifier: MIT */
#include "store/redis/inspect.h"

#include "store/base/clock.h"
#include "store/base/mem.h"

#include <stdlib.h>

struct redis_inquiry {
    unsigned shard;
    char *name;
    store_server_fn *fn;
    void *arg;
    char *info;
    uint64_t sent_us;  /* by our wall clock */
    uint64_t asked_us; /* monotonic */
};

static uint64_t wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000U + (uint64_t)now.tv_nsec / 1000U;
}

static void on_info(void *arg, const redisReply *reply)
{
    struct redis_inquiry *inquiry = arg;
    if (reply != NULL && reply->type != REDIS_REPLY_ERROR && reply->str != NULL) {
        inquiry->info = mem_dup(span_of(reply->str, (size_t)reply->len));
    }
}

/* [seconds, microseconds] */
static bool read_time(const redisReply *reply, uint64_t *us)
{
    bool good = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                reply->element[0]->str != NULL && reply->element[1]->str != NULL;
    if (good) {
        *us = strtoull(reply->element[0]->str, NULL, 10) * 1000000U +
              strtoull(reply->element[1]->str, NULL, 10);
    }
    return good;
}

static void on_time(void *arg, const redisReply *reply)
{
    struct redis_inquiry *inquiry = arg;
    uint64_t theirs = 0, middle = (inquiry->sent_us + wall_us()) / 2;
    struct store_server server = {.shard = inquiry->shard,
                                  .name = inquiry->name,
                                  .answer_us = clock_monotonic_us() - inquiry->asked_us};
    if (reply != NULL) {
        server.info = inquiry->info != NULL ? span_str(inquiry->info) : span_of(NULL, 0);
        server.knows_time = read_time(reply, &theirs);
        server.ahead_us = (int64_t)(theirs - middle);
        inquiry->fn(inquiry->arg, &server);
    }
    free(inquiry->info);
    free(inquiry->name);
    free(inquiry);
}

int redis_inspect(struct redis_link *link, unsigned shard, const char *name, store_server_fn *fn,
                  void *arg)
{
    struct redis_inquiry *inquiry = mem_zalloc(sizeof(*inquiry));
    *inquiry = (struct redis_inquiry){.shard = shard,
                                      .name = name != NULL ? mem_dup(span_str(name)) : NULL,
                                      .fn = fn,
                                      .arg = arg,
                                      .sent_us = wall_us(),
                                      .asked_us = clock_monotonic_us()};
    int sent = redis_link_command(link, SPAN("*1\r\n$4\r\nINFO\r\n"), on_info, inquiry);
    if (sent == 0) {
        sent = redis_link_command(link, SPAN("*1\r\n$4\r\nTIME\r\n"), on_time, inquiry);
    }
    if (sent != 0) {
        free(inquiry->name);
        free(inquiry);
    }
    return sent;
}
