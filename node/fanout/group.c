/* SPDX-License-Identifier: MIT */
#include "node/fanout/group.h"

#include "node/net/net.h"
#include "node/net/work.h"
#include "store/base/buf.h"
#include "store/base/check.h"
#include "store/base/cursor.h"

#include <stdlib.h>

enum {
    SENDS_PER_STEP = 64,  /* of a walk */
    LOOKS_PER_STEP = 256, /* at receivers, most of which may want nothing */
};

/* A message that not all receivers have yet. */
struct group_message {
    struct list entry;
    uint64_t number;
    struct buf text;
    struct shared_message message;
    struct group_choice whom;
};

/* While it goes round, messages come in behind: they go along, and are complete with the round after,
 * in which nobody is given one twice (receiver.has_kept). */
struct group_walk {
    struct group *group;
    struct net_work work;
    struct net *net;
    struct list kept; /* struct group_message, by number */
    size_t bytes;     /* of them */
    struct cursor at; /* in the group's receivers; at their end the round is over */
    uint64_t until;   /* the last message that is complete then */
};

void group_init(struct group *group, struct metrics *metrics)
{
    *group = (struct group){.metrics = metrics};
    list_init(&group->receivers);
}

static void count_sent(struct group *group, uint32_t sent)
{
    metrics_add(group->metrics, METRIC_DELIVERIES, sent);
    metrics_add(group->metrics, METRIC_WS_MESSAGES_OUT, sent);
}

void group_send_to(const struct receiver *receiver, struct shared_message *message)
{
    struct ws *ws = receiver->ws;
    if (!ws_is_open(ws)) {
        return; /* a close frame is the last one, even if the peer still asks (RFC 6455, 5.5.1) */
    }
    struct chunk *chunk =
        shared_message_chunk(message, ws_deflates(ws) ? SHARED_WS_DEFLATED : SHARED_WS_PLAIN);
    if (conn_send(ws_conn(ws), chunk) != 0) {
        ws_overflow(ws);
    }
}

/* Returns to how many: 0 or 1. */
static uint32_t send_wanted(struct receiver *receiver, struct shared_message *message,
                            struct group_choice whom)
{
    if (!ws_is_open(receiver->ws) || (whom.wants != NULL && !whom.wants(receiver, whom.as_of))) {
        return 0;
    }
    group_send_to(receiver, message);
    return 1;
}

/* ------------------------------------------------------------------------------------ the walk */

static uint32_t give(struct group_walk *walk, struct receiver *receiver)
{
    uint32_t sent = 0;
    if (receiver->has_kept == walk->group->kept) {
        return 0;
    }
    LIST_EACH(it, &walk->kept) {
        struct group_message *kept = LIST_ITEM(it, struct group_message, entry);
        if (kept->number > receiver->has_kept) {
            sent += send_wanted(receiver, &kept->message, kept->whom);
        }
    }
    receiver->has_kept = walk->group->kept;
    return sent;
}

static void drop_first(struct group_walk *walk)
{
    struct group_message *kept = LIST_ITEM(walk->kept.next, struct group_message, entry);
    walk->bytes -= kept->text.len;
    list_del(&kept->entry);
    shared_message_deinit(&kept->message);
    buf_free(&kept->text);
    free(kept);
}

static void free_walk(struct group_walk *walk)
{
    net_work_cancel(&walk->work);
    while (!list_empty(&walk->kept)) {
        drop_first(walk);
    }
    walk->group->walk = NULL;
    free(walk);
}

/* All have what was kept up to walk->until. Is there more? */
static bool end_round(struct group_walk *walk)
{
    while (!list_empty(&walk->kept) &&
           LIST_ITEM(walk->kept.next, struct group_message, entry)->number <= walk->until) {
        drop_first(walk);
    }
    if (list_empty(&walk->kept)) {
        free_walk(walk);
        return false;
    }
    cursor_begin(&walk->at, &walk->group->receivers);
    walk->until = walk->group->kept;
    return true;
}

static bool step(struct net_work *work)
{
    struct group_walk *walk = CONTAINER_OF(work, struct group_walk, work);
    struct list *link;
    uint32_t sent = 0, looks = 0;
    bool bulk = net_send_bulk(walk->net, true);
    while (sent < SENDS_PER_STEP && looks < LOOKS_PER_STEP &&
           (link = cursor_take(&walk->at)) != NULL) {
        sent += give(walk, LIST_ITEM(link, struct receiver, entry));
        looks++;
    }
    net_send_bulk(walk->net, bulk);
    count_sent(walk->group, sent);
    return cursor_next(&walk->at) != NULL || end_round(walk);
}

static struct group_walk *walk_new(struct group *group)
{
    const struct receiver *any = LIST_ITEM(group->receivers.next, struct receiver, entry);
    struct group_walk *walk = mem_alloc(sizeof(*walk));
    *walk = (struct group_walk){
        .group = group, .net = conn_net(ws_conn(any->ws)), .until = group->kept + 1};
    cursor_begin(&walk->at, &group->receivers);
    list_init(&walk->kept);
    net_work_init(&walk->work, step);
    net_work_queue(walk->net, &walk->work);
    return walk;
}

static void keep(struct group *group, struct span text, struct group_choice whom)
{
    if (group->walk == NULL) {
        group->walk = walk_new(group);
    }
    struct group_walk *walk = group->walk;
    struct group_message *kept = mem_zalloc(sizeof(*kept));
    kept->number = ++group->kept;
    kept->whom = whom;
    buf_append(&kept->text, text);
    shared_message_init(&kept->message, WS_TEXT, buf_span(&kept->text));
    list_push_back(&walk->kept, &kept->entry);
    walk->bytes += text.len;
    while (group->walk != NULL && walk->bytes > GROUP_KEPT_MOST) {
        step(&walk->work);
    }
}

/* ----------------------------------------------------------------------------------- the group */

void group_add(struct group *group, struct receiver *receiver, struct ws *ws)
{
    receiver->ws = ws;
    receiver->has_kept = group->kept;
    list_push_back(&group->receivers, &receiver->entry);
    group->count++;
    conn_set_member(ws_conn(ws));
}

void group_remove(struct group *group, struct receiver *receiver)
{
    CHECK(!list_empty(&receiver->entry) && group->count > 0);
    group_give(group, receiver);
    if (group->walk != NULL) {
        cursor_leave(&group->walk->at, &receiver->entry);
    }
    list_del(&receiver->entry);
    group->count--;
    if (group->count == 0 && group->walk != NULL) {
        free_walk(group->walk);
    }
}

void group_give(struct group *group, struct receiver *receiver)
{
    if (group->walk != NULL) {
        count_sent(group, give(group->walk, receiver));
    }
}

void group_send_one(struct group *group, struct receiver *receiver, struct shared_message *message)
{
    group_give(group, receiver);
    group_send_to(receiver, message);
}

static bool is_for_walk(const struct group *group)
{
    return group->count >= GROUP_WALK_FROM || group->walk != NULL;
}

static void send_to_all(struct group *group, struct span text, struct group_choice whom)
{
    struct shared_message message;
    uint32_t sent = 0;
    shared_message_init(&message, WS_TEXT, text);
    LIST_EACH(it, &group->receivers) {
        struct receiver *receiver = LIST_ITEM(it, struct receiver, entry);
        group_give(group, receiver);
        sent += send_wanted(receiver, &message, whom);
    }
    shared_message_deinit(&message);
    count_sent(group, sent);
}

void group_send_late(struct group *group, struct span text, struct group_choice whom)
{
    if (group->count == 0) {
        return;
    }
    if (is_for_walk(group)) {
        keep(group, text, whom);
        return;
    }
    const struct receiver *any = LIST_ITEM(group->receivers.next, struct receiver, entry);
    struct net *net = conn_net(ws_conn(any->ws));
    bool bulk = net_send_bulk(net, true);
    send_to_all(group, text, whom);
    net_send_bulk(net, bulk);
}

void group_send(struct group *group, struct span text, struct group_choice whom)
{
    if (is_for_walk(group)) {
        keep(group, text, whom);
    } else if (group->count >= GROUP_BULK_FROM) {
        group_send_late(group, text, whom);
    } else {
        send_to_all(group, text, whom);
    }
}
