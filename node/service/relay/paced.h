/* SPDX-License-Identifier: MIT */
/* paced: messages toward a TCP peer that takes whatever one read gives it for one message. TCP
 * keeps no boundaries, so the next message is put on the wire only when the peer's kernel was seen
 * to have confirmed the last one, and a gap (confirmed is not yet read) has passed since then.
 *
 *     relay_paced_send --> queue.h: what waits, and whose turn it is --> confirmed, gap over: conn_send
 *
 * The gap is as long as the peer's own rhythm asks for: short for one whose system confirms as quickly as
 * ever (it does so when the program reads), and longer, up to a most, for one that was late lately; what
 * the system does by a timer of its own is not late. It is counted from when a quick peer would have
 * confirmed, and the least one from when this one did. A peer that speaks has read what was there. The
 * gap shrinks as more waits. Toward a peer so far away that one message at a time is too few, the next
 * may follow one that is on its way, a safe gap behind, smaller as the wait grows, when something waited
 * long and no packet was lost lately.
 *
 * A peer that confirms nothing for long is cut, and only that peer. What the owner is to see to comes
 * to it as conn_poke(): the peer was cut, or nothing waits any more after relay_paced_hurry. */
#ifndef MUSTER_NODE_SERVICE_RELAY_PACED_H
#define MUSTER_NODE_SERVICE_RELAY_PACED_H

#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "node/net/conn.h"
#include "node/service/relay/queue.h"

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    PACED_PATIENCE_MS = 20 * 1000, /* a peer that confirms nothing for so long is cut */
    RELAY_PACED_LOOKS_MOST = 256,  /* peers whose time has come, in one turn of the loop */
};

/* What a set of peers shares. */
struct relay_pacer;
struct relay_paced;

struct relay_pacer_options {
    struct loop *loop;       /* borrowed */
    struct metrics *metrics; /* borrowed */
    bool on;                 /* false: messages are sent at once, many in one write */
    uint32_t gap_ms;         /* the least gap */
    size_t limit;            /* bytes of what may be dropped that wait for one peer */
};

struct relay_pacer *relay_pacer_new(const struct relay_pacer_options *options);

/* Frees; every relay_paced is gone. */
void relay_pacer_free(struct relay_pacer **pacer);

/* Lives inside the peer's object. */
struct relay_paced {
    struct relay_pacer *pacer;
    struct conn *conn;        /* borrowed */
    struct event look;        /* due when there may be something to do */
    struct relay_queue queue; /* what waits */
    uint64_t sent_us;         /* when a message was last put on the wire, or in the queue for it */
    size_t sent_len;          /* of that message, in bytes */
    uint64_t moved_us;        /* when the peer last confirmed some of it, or it was sent */
    uint64_t clear_us;        /* when all was first seen confirmed */
    uint64_t heard_us;        /* when the peer said something after it had all; 0: not since */
    uint64_t quickest_us;     /* from sending to the confirmation, as the quickest ones took */
    uint64_t late_us;         /* by how much one took longer lately */
    uint64_t lost_us;         /* when a loss was noticed; 0: never */
    uint32_t lost;            /* packets lost, as of then */
    uint32_t confirmed;       /* messages, up to a few */
    size_t unacked;           /* at the last look */
    bool clear;               /* all was seen confirmed since the last message */
    bool hurried;             /* no gap but the least one */
    bool unpaced;             /* it takes packets apart itself */
    bool over;                /* cut */
};

void relay_paced_init(struct relay_paced *paced, struct relay_pacer *pacer, struct conn *conn);
void relay_paced_deinit(struct relay_paced *paced);

/* Sends `chunk`, with its own reference, now or later, after what was sent before of the same
 * topic. false when the peer was cut, now or earlier. */
bool relay_paced_send(struct relay_paced *paced, struct chunk *chunk, struct relay_paced_mark mark);

/* The same for the beginning of a topic that many are told: it is kept once. */
bool relay_paced_send_begin(struct relay_paced *paced, struct relay_begin *begin);

/* The peer is given up: nothing waits any more and later sends are dropped. Its owner is to end the
 * connection. */
bool relay_paced_is_cut(const struct relay_paced *paced);

/* The peer takes a stream of messages: they are sent at once, many in one write. Before the first. */
void relay_paced_let_go(struct relay_paced *paced);

/* The connection's queue is empty: for the owner's `drained`. A message is written at the end of the turn
 * in which it was put in the queue, and a busy machine may let that be much later. */
void relay_paced_wrote(struct relay_paced *paced);

/* The peer said something: it has read what was there. */
void relay_paced_heard(struct relay_paced *paced);

/* The rest is to be told as fast as the least gap allows. */
void relay_paced_hurry(struct relay_paced *paced);

/* Messages that wait. */
uint32_t relay_paced_waiting(const struct relay_paced *paced);

#endif
