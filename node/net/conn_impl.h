/* What net.c, conn.c and outq.c share; nobody else includes it. */
#ifndef MUSTER_NODE_NET_CONN_IMPL_H
#define MUSTER_NODE_NET_CONN_IMPL_H

#include "node/net/conn.h"
#include "node/net/net.h"
#include "node/net/outq.h"
#include "store/base/buf.h"
#include "store/base/list.h"
#include "store/base/map.h"

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
    struct list todo;  /* poked, resumed or dead: looked at when the turn ends */
    struct list dirty; /* has a queue to write when the turn ends */
    struct wheel_timer timer;
    struct outq out;
    struct buf *held; /* bytes read that a paused handler has not taken; mostly NULL */
    uint64_t id;
    union {
        struct { /* while OPEN; 0: the net's, the read buffer's */
            uint32_t queue_limit, read_limit;
        };
        struct { /* from then on: ms for the peer to end, and what it had to take when last seen */
            uint32_t linger_ms, unacked;
        };
    };
    struct address peer;
    uint8_t state; /* enum conn_state */
    uint8_t end;   /* enum conn_end, once DEAD */
    bool paused : 1;
    bool poked : 1;
    bool blocked : 1;  /* the kernel took no more: waiting for EV_WRITE */
    bool peer_eof : 1; /* the peer sends no more */
    bool leaving : 1;  /* asked to drain */
    bool deaf : 1;     /* the peer refuses what is sent; it is heard out */
};

enum { READ_BUFFER = 64 * 1024 };

struct net {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics *metrics;
    struct net_limits limits;
    struct list all, todo, dirty;
    struct list udp_dirty;       /* sockets with datagrams to write when the turn ends */
    struct udp_inbox *udp_inbox; /* NULL until a datagram comes in */
    struct outq_pool pool;
    struct map addresses; /* struct peer_count by IP, where there is a limit */
    uint32_t count;
    uint64_t last_id;
    uint64_t sends;      /* chunks queued so far */
    bool overloaded;     /* admits nobody: net_set_overloaded */
    struct drain *drain; /* NULL until net_drain */
    char read_buffer[READ_BUFFER];
};

/* conn.c, for net.c: the end of a turn. */
void conn_do_todo(struct conn *conn);
void conn_flush(struct conn *conn);
void conn_free(struct conn *conn);

/* conn.c, for drain.c: the handler's leave-taking; and its end, when there is no more time: by a
 * reset where not all was written that conn_finish promised. */
void conn_leave(struct conn *conn);
void conn_end_now(struct conn *conn);

/* drain.c */
void drain_free(struct drain **drain);

/* net.c, for conn.c: a connection comes and goes. */
void net_add(struct net *net, struct conn *conn);
void net_remove(struct net *net, struct conn *conn);

#endif
