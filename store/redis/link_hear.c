/* SPDX-License-Identifier: MIT */
/* What a link hears over its subscribed connection: messages of the bus, which channels it has, and its
 * own messages, by which it is proved. */
#include "store/redis/link_impl.h"

#include "store/base/clock.h"
#include "store/redis/push.h"

/* ------------------------------------------------------------------------------------ in a cluster */

bool redis_link_is_redirected(struct redis_link *link, const char *error)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    struct redis_redirect to = {.kind = REDIRECT_NONE};
    if (cluster != NULL) {
        to = redis_redirect_read(error);
    }
    if (to.kind == REDIRECT_MOVED || to.kind == REDIRECT_UNSERVED) {
        cluster->redirected(link->arg, &to);
    }
    return to.kind != REDIRECT_NONE;
}

bool redis_link_is_sharded(const struct redis_link *link, int tag)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    return cluster != NULL && tag >= 0 && cluster->is_sharded(link->arg);
}

/* A partition that has another server by now, and whose channels are heard here all the same: where
 * every server hears all, for ever. */
static bool is_elsewhere(struct redis_link *link, struct span channel)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    int partition = cluster != NULL ? partition_of_key(channel) : -1;
    if (cluster == NULL) {
        return link->events->has != NULL && !link->events->has(link->arg, channel);
    }
    return partition >= 0 && !cluster->has(link->arg, (unsigned)partition);
}

/* ------------------------------------------------------------------------------------ what comes */

static enum link_heard take_message(struct redis_link *link, const struct redis_push *push)
{
    if (span_eq(push->channel, span_str(link->proof.channel))) {
        return HEARD_PROOF;
    }
    if (!is_elsewhere(link, push->channel)) {
        bus_on_message(link->store, push->channel, push->payload);
    } else if (!redis_link_is_sharded(link, 0)) {
        redis_push_subscribe(link->subscriber, &push->channel, 1, false, false);
    }
    return HEARD_NOTHING;
}

static enum link_heard take_channel(struct redis_link *link, struct span channel, bool on)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    int partition = cluster != NULL ? partition_of_key(channel) : -1;
    if (span_eq(channel, span_str(link->proof.channel)) && on) {
        link->proof.hearing = true;
        return HEARD_PROOF_ON;
    }
    if (span_eq(channel, span_str(link->proof.channel))) {
        cluster->gave_up(link->arg, (unsigned)link->proof.tag);
        return HEARD_PROOF_GAVE_UP;
    }
    if (!is_elsewhere(link, channel) && !bus_on_channel(link->store, channel, on) && !on &&
        partition >= 0 && redis_link_is_sharded(link, partition)) {
        cluster->gave_up(link->arg, (unsigned)partition);
    }
    return HEARD_NOTHING;
}

static enum link_heard take_error(struct redis_link *link, const char *error)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    bool unknown = strstr(error, "unknown command") != NULL;
    if (redis_link_is_redirected(link, error)) {
        /* Before it hears: the proof's own slot. */
        return link->proof.hearing ? HEARD_PROOF_GAVE_UP : HEARD_ERROR;
    }
    if (unknown && redis_link_is_sharded(link, 0)) {
        cluster->go_plain(link->arg, false);
    }
    return HEARD_ERROR;
}

enum link_heard redis_link_hear(struct redis_link *link, const redisReply *reply,
                                struct span *proof)
{
    struct redis_push push;
    link->proof.heard_us = clock_monotonic_us();
    if (reply->type == REDIS_REPLY_ERROR) {
        return take_error(link, reply->str);
    }
    switch (redis_push_read(reply, &push)) {
    case PUSH_MESSAGE:
        *proof = push.payload;
        return take_message(link, &push);
    case PUSH_ON:
    case PUSH_OFF:
        return take_channel(link, push.channel, push.kind == PUSH_ON);
    case PUSH_NONE:
        break;
    }
    return HEARD_NOTHING;
}
