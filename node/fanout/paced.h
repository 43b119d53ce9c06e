/* paced: messages toward a TCP peer that takes whatever one read gives it for one message. TCP
 * keeps no boundaries, so the next message is put on the wire only when the peer's kernel has
 * confirmed the last one, and a small gap (confirmed is not yet read) has passed since.
 *
 *     paced_send --> nothing waits, confirmed, gap over: conn_send
 *                \-> queue --tick--> confirmed and gap over, or patience lost: conn_send
 *
 * The queue is bounded. Over the bound a peer that confirms nothing is cut; to one that only cannot
 * be told as fast as others talk, what may fall is let fall. */
#ifndef MUSTER_NODE_FANOUT_PACED_H
#define MUSTER_NODE_FANOUT_PACED_H

#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "node/net/conn.h"
#include "node/net/outq.h"
#include "store/base/list.h"

#include <stdbool.h>
#include <stdint.h>

/* What a set of peers shares. */
struct pacer;

struct pacer_options {
    struct loop *loop;       /* borrowed */
    struct metrics *metrics; /* borrowed */
    bool on;                 /* false: messages are sent at once, many in one write */
    uint32_t gap_ms;
    size_t limit; /* bytes that wait for one peer */
};

struct pacer *pacer_new(const struct pacer_options *options);

/* Frees; every paced must be through with. */
void pacer_free(struct pacer **pacer);

/* Lives inside the peer's object. */
struct paced {
    struct pacer *pacer;
    struct conn *conn;   /* borrowed */
    struct list waiting; /* in the pacer, while something is queued */
    struct outq queue;
    uint64_t due_us;
    uint64_t sent_us;  /* when a message was last put on the wire */
    uint64_t clear_us; /* when all was last seen confirmed */
};

enum paced_need {
    PACED_MAY,  /* may fall when there is too much */
    PACED_MUST, /* the peer is cut rather than that it misses this */
};

void paced_init(struct paced *paced, struct pacer *pacer, struct conn *conn);
void paced_deinit(struct paced *paced);

/* Sends a reference of its own to `chunk`, now or later, after what was sent before. true when it
 * is on its way; false when it was let fall or the connection was closed. */
bool paced_send(struct paced *paced, struct chunk *chunk, enum paced_need need);

#endif
