/* SPDX-License-Identifier: MIT */
/* conn: one TCP connection. Knows bytes, limits and time; no protocol.
 *
 *     socket --read, a bounded amount per turn--> data() of the handler
 *     conn_send(chunk reference) --> queue --one writev at the end of the turn--> socket
 *
 * A conn belongs to its `net` and is freed by it, at the end of the loop's turn in which it ended
 * and after closed() was called: until then pointers to it stay good, and sends to it are
 * dropped. */
#ifndef MUSTER_NODE_NET_CONN_H
#define MUSTER_NODE_NET_CONN_H

#include "node/net/address.h"
#include "store/base/chunk.h"
#include "store/base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct net;
struct conn;

enum { CONN_LEAST_TAKEN = 4 * 1024 }; /* bytes: a peer that takes fewer in its time does not read */

/* How a connection ended. */
enum conn_end {
    CONN_END_PEER,  /* the peer closed it in order */
    CONN_END_ERROR, /* reset, or the network failed */
    CONN_END_LOCAL, /* conn_close, or conn_finish and the peer is done */
};

/* What the protocol above does. Only `data` and `closed` are needed; others may be NULL. */
struct conn_handler {
    /* Bytes came in, borrowed until return. Returns how many were taken: all of them, or fewer when
     * the handler paused the connection (the rest is kept and given again after conn_resume). */
    size_t (*data)(void *arg, struct span bytes);
    /* The queue, which had grown, is empty again. */
    void (*drained)(void *arg);
    /* The time set with conn_set_timer is over. */
    void (*timer)(void *arg);
    /* The turn in which conn_poke was called ends. */
    void (*poked)(void *arg);
    /* Memory is short, and this connection's queue is among the largest: give it up and take leave.
     * NULL: conn_reset. */
    void (*relieve)(void *arg);
    /* The node is going away: take leave of the peer. NULL: conn_finish. */
    void (*drain)(void *arg);
    /* It is over; the last call. */
    void (*closed)(void *arg, enum conn_end end);
    /* A peer that sends no more may still read: what is queued goes out first. Else that ends it. */
    bool half_open;
    /* What a peer said before it refused to hear more is still given, to its end; sends are dropped
     * meanwhile. Else the refusal ends it. */
    bool hear_out;
};

/* New connection over `fd` (stolen, non-blocking). The net's limits were asked with net_admit. */
struct conn *conn_new(struct net *net, int fd, const struct address *peer,
                      const struct conn_handler *handler, void *arg);

/* Another protocol takes over; `handler` is borrowed for the connection's life. */
void conn_set_handler(struct conn *conn, const struct conn_handler *handler, void *arg);

/* Queues `chunk`, with its own reference, for the end of the turn. 0, or -1 with nothing queued
 * when something waits already and more than the net's queue limit would. Sends to a connection
 * that ends or finishes return 0 and are dropped. */
int conn_send(struct conn *conn, struct chunk *chunk);

/* Another bound on this connection's queue than the net's, in bytes below 4 GiB; 0: the net's. */
void conn_set_queue_limit(struct conn *conn, size_t bytes);

/* data() is given at most so many bytes read at once; 0: as many as the read buffer holds. */
void conn_set_read_limit(struct conn *conn, size_t bytes);

/* Bytes in the queue. */
size_t conn_queued(const struct conn *conn);

/* Bytes that the peer's kernel has not confirmed: in the queue and in the socket. One system call. */
size_t conn_unacked(const struct conn *conn);

/* Does the peer take what it is sent? Of `sent` bytes that were given to the connection in all, those
 * that the peer's kernel has confirmed, modulo 2^32: a mark for conn_takes. Any other base than 0 for
 * `sent` will do, when it is the same in both calls. One system call. */
uint32_t conn_taken(const struct conn *conn, uint64_t sent);

/* It took CONN_LEAST_TAKEN bytes or more since *mark, which is set again then. Bytes of a slow line
 * are confirmed in steps too large for the queue alone to tell. One system call. */
bool conn_takes(const struct conn *conn, uint64_t sent, uint32_t *mark);

/* Has the peer closed or reset its side, for connections that are paused? One system call. */
bool conn_peer_left(const struct conn *conn);

/* Do bytes of the peer wait in the socket? One system call. */
bool conn_has_unread(const struct conn *conn);

/* Drops what is in the queue, but for a chunk of which a part is on the wire already. */
void conn_drop_queue(struct conn *conn);

/* Why a connection is not read. Each layer has its own reasons, and reading goes on when none is left. */
enum conn_pause {
    CONN_PAUSE_SERVICE = 1,  /* what stands above the protocol does not want more yet */
    CONN_PAUSE_FAIRNESS = 2, /* it had enough of this turn: others go first */
    CONN_PAUSE_ANSWERS = 4,  /* answers to what it asked wait to be written */
    CONN_PAUSE_ALL = 7
};

/* Adds reasons, and takes them back (those that are not set, too). When the last one is gone, data
 * that was kept is given, at the end of the turn. Inside poked() both only mark: the events are set
 * once, after it. */
void conn_pause(struct conn *conn, enum conn_pause reasons);
void conn_resume(struct conn *conn, enum conn_pause reasons);

/* Is any of these reasons set? */
bool conn_is_paused(const struct conn *conn, enum conn_pause reasons);

/* Calls timer() once in `ms` (to 100 ms and never early); replaces what was set; 0: never. */
void conn_set_timer(struct conn *conn, uint32_t ms);

/* Calls poked() when this turn ends. */
void conn_poke(struct conn *conn);

/* It had enough of this turn: pauses it for fairness; poked(), in its next turn, resumes it. */
void conn_yield(struct conn *conn);

/* It is in, logged in or has joined: when there is much to do its reads come before those of others, as
 * long as each is short, brings little to write to it, and is not said to cost more (work in a thread). */
void conn_set_member(struct conn *conn);
void conn_set_costly(struct conn *conn);

/* No more sends: writes what is queued, for as long as the peer takes 4 KiB of it every 10 s (every
 * `linger_ms`, when that is longer; else by a reset, see below), then shuts down, and reads to the
 * peer's end, dropping what comes, for `linger_ms` at most. */
void conn_finish(struct conn *conn, uint32_t linger_ms);

/* Ends it now, whatever is queued. */
void conn_close(struct conn *conn);

/* The same by a reset: the peer shall not take what came through for all that there was. */
void conn_reset(struct conn *conn);

/* The number of this connection, unique in the process, for log lines. */
uint64_t conn_id(const struct conn *conn);

const struct address *conn_peer(const struct conn *conn);
struct net *conn_net(const struct conn *conn);

#endif
