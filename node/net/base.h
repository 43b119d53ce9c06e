/* SPDX-License-Identifier: MIT */
/* base: what the sockets of one loop share, for the files of this folder; no other file includes it. */
#ifndef MUSTER_NODE_NET_BASE_H
#define MUSTER_NODE_NET_BASE_H

#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "node/core/wheel.h"
#include "node/net/admission.h"
#include "node/net/outq.h"
#include "store/base/list.h"

enum { READ_BUFFER = 64 * 1024 };

struct net {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics *metrics;
    struct net_limits limits;
    struct list all;         /* struct conn; those that were asked to leave stand behind */
    uint32_t leaving;        /* how many these are */
    struct list todo;        /* struct conn: to be settled when the turn ends */
    struct list gone;        /* struct conn: dead; closed() and freed when a turn ends */
    struct list front, back; /* struct conn: to be read, in the order in which they came (turn.c) */
    struct list dirty, bulk; /* struct conn: to be written when the turn ends; bulk can wait */
    bool behind;             /* some of dirty were left over by the last turn */
    struct list blocked;     /* struct conn: the kernel took no more; by `dirty` */
    bool sends_bulk;         /* what is queued now can wait */
    struct list works;       /* struct net_work: some steps of each when the turn ends */
    struct list udp_dirty;   /* sockets with datagrams to write when the turn ends */
    struct udp_inbox *udp_inbox; /* NULL until a datagram comes in */
    struct outq_pool pool;
    struct admission admission;
    uint64_t last_id;
    uint64_t sends;      /* chunks queued so far */
    uint64_t queued;     /* bytes of them, one by one for each connection */
    struct drain *drain; /* NULL until net_drain */
    bool handed_over;
    char read_buffer[READ_BUFFER];
};

/* The hook of a net at the end of the turn. */
void turn_end(void *net);

#endif
