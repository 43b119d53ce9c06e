/* SPDX-License-Identifier: MIT */
/* relay_queue: the messages that wait for one peer, by their topic.
 *
 *     relay_queue_put --> behind others of its topic --\
 *     relay_queue_put --> behind others of its topic ---+-- in turn --> relay_queue_take
 *     relay_queue_put_notice --> the line --------------/
 *
 * Topics have their turn one message at a time, so that one with much to say delays no other; the order
 * within a topic is kept. Beginnings and ends of topics of which nothing else waits stand in a line of their own,
 * which has its turn between the topics. What waits is bounded:
 *
 *  - a topic that ends before its beginning was told is not told at all, so that of one topic an
 *    end, a beginning and what lies after it wait at most;
 *  - talk that waited too long is dropped, and over the limit the oldest of the topic that holds most. */
#ifndef MUSTER_NODE_SERVICE_RELAY_QUEUE_H
#define MUSTER_NODE_SERVICE_RELAY_QUEUE_H

#include "node/core/metrics.h"
#include "node/service/relay/notices.h"
#include "store/base/list.h"
#include "store/base/map.h"

#include <stdbool.h>
#include <stdint.h>

enum { PACED_AGE_MS = 5 * 1000 }; /* talk is dropped after waiting so long */

struct relay_queue {
    struct metrics *metrics;      /* borrowed */
    size_t limit;                 /* bytes of talk */
    struct list turns;            /* struct relay_topic, the next one first */
    struct map topics;            /* by id; those of which something waits */
    struct relay_notices notices; /* of topics of which nothing else waits */
    uint32_t count;               /* messages that wait */
    size_t bytes;                 /* of talk that waits */
    bool began;                   /* the last one taken was one of `notices`: a topic is next */
};

void relay_queue_init(struct relay_queue *queue, struct metrics *metrics, size_t limit);
void relay_queue_deinit(struct relay_queue *queue);

/* Behind what waits of the same topic, with a reference of its own. Talk that is too old or over the
 * limit is dropped, and counted. */
void relay_queue_put(struct relay_queue *queue, struct chunk *chunk, struct relay_paced_mark mark,
                     uint64_t now_us);

/* The same for a beginning or an end that many are told. false, and nothing done: something waits of its topic. */
bool relay_queue_put_notice(struct relay_queue *queue, struct relay_notice *notice)
    __attribute__((warn_unused_result));

/* The next message: the caller's reference. NULL: none waits, or all that did was too old. */
struct chunk *relay_queue_take(struct relay_queue *queue, uint64_t now_us)
    __attribute__((warn_unused_result));

/* Since when the message waits that has waited longest; UINT64_MAX: none does. */
uint64_t relay_queue_oldest_us(struct relay_queue *queue);

void relay_queue_clear(struct relay_queue *queue);

#endif
