/* SPDX-License-Identifier: MIT */
/* The inside of a connection, for conn.c and net.c; no other file includes it. */
#ifndef MUSTER_NODE_NET_CONN_IMPL_H
#define MUSTER_NODE_NET_CONN_IMPL_H

#include "node/net/base.h"
#include "node/net/conn.h"
#include "node/net/outq.h"
#include "store/base/buf.h"
#include "store/base/list.h"

#include <event2/event_struct.h>

/*     OPEN --conn_finish--> FINISHING --queue written--> SHUT --peer's end, time--> DEAD
 *       \________________________ conn_close, error, peer's end __________________/      */
enum conn_state { CONN_OPEN, CONN_FINISHING, CONN_SHUT, CONN_DEAD };

/* One per client, ten thousands of them: every byte counts (make bench, case idle). */
struct conn {
    struct event event;
    struct net *net;
    const struct conn_handler *handler;
    void *arg;
    struct list all;   /* of the net */
    struct list todo;  /* poked, resumed, to be read or dead: in a line of the net's */
    struct list dirty; /* has a queue to write when the turn ends, or when the kernel takes more */
    struct wheel_timer timer;
    struct outq out;
    struct buf *held; /* bytes read that a paused handler has not taken; mostly NULL */
    uint64_t id;
    union {
        struct { /* while OPEN; 0: the net's, the read buffer's */
            uint32_t queue_limit, read_limit;
        };
        struct { /* from then on: ms for the peer to end, and what it had taken when last seen */
            uint32_t linger_ms, taken;
        };
    };
    struct address peer;
    uint8_t state;  /* enum conn_state */
    uint8_t end;    /* enum conn_end, once DEAD */
    uint8_t paused; /* enum conn_pause */
    bool poked : 1;
    bool blocked : 1;  /* the kernel took no more: waiting for EV_WRITE */
    bool peer_eof : 1; /* the peer sends no more */
    bool leaving : 1;  /* asked to drain */
    bool relieved : 1; /* its queue was given up once, because memory was short */
    bool settling : 1; /* conn_do_todo is at work, and sets the events when it is done */
    bool deaf : 1;     /* the peer refuses what is sent; it is heard out */
    bool member : 1;   /* goes before others, unless it is heavy */
    uint8_t heavy : 4; /* what it sent cost much: so many reads ago, from 8 down to 0 */
    bool costly : 1;   /* what is read now costs more than its time */
    bool unread : 1;   /* its event came, and it stands in line */
    bool bulk : 1;     /* it stands in the line of the bulk */
};

/* For net.c: the end of a turn. */
void conn_do_todo(struct conn *conn);
void conn_flush(struct conn *conn);

/* For net.c, when memory is short: the handler's leave-taking, at the first time; a reset from then
 * on, when the peer has not read even that. */
void conn_relieve(struct conn *conn);

/* For a drain: the handler's leave-taking; and its end, when there is no more time: by a
 * reset where not all was written that conn_finish promised. */
void conn_leave(struct conn *conn);
void conn_end_now(struct conn *conn);

#endif
