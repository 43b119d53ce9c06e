/* SPDX-License-Identifier: MIT */
/* net: what the connections of one loop share: the read buffer, the lists of those with work at the
 * end of the turn, and the limits. */
#ifndef MUSTER_NODE_NET_NET_H
#define MUSTER_NODE_NET_NET_H

#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "node/core/wheel.h"
#include "node/net/address.h"
#include "node/net/admission.h"

#include <stdbool.h>
#include <stddef.h>

struct net;

/* New; `loop`, `wheel` and `metrics` are borrowed for its life. */
struct net *net_new(struct loop *loop, struct wheel *wheel, struct metrics *metrics,
                    const struct net_limits *limits);

/* Closes what is left, with closed() called, and frees. */
void net_free(struct net **net);

/* May a connection from `peer` come in now? Counts it as refused when not. */
bool net_admit(struct net *net, const struct address *peer);

/* The same for a client that watches the node, as probes and Prometheus do. */
bool net_admit_watcher(struct net *net);

/* While overloaded, no client is admitted. */
void net_set_overloaded(struct net *net, bool overloaded);

/* Open connections now; true in `*full` when no more would be admitted. */
uint32_t net_connections(const struct net *net, bool *full);

/* Asks every connection to take leave (conn_handler.drain), spread over most of `ms`, though at
 * least some dozens a second; what is left after `ms` is closed. `done` comes once all are gone.
 * Call once. */
void net_drain(struct net *net, uint32_t ms, void (*done)(void *arg), void *arg);

/* Another process has all the sockets that bear listeners or receive datagrams: here nothing is
 * accepted or received any more. */
void net_hand_over(struct net *net);
bool net_is_handed_over(const struct net *net);

/* A caller that opens a listening socket of any kind sets SO_REUSEPORT when this is true. */
bool net_shares_ports(const struct net *net);

/* While it is on, what is queued goes to many connections at once, and is written over several turns
 * where one would take too long: what goes to few is written before it. Returns whether it was on: who
 * switches it on inside another's doing sets it back to that. */
bool net_send_bulk(struct net *net, bool bulk);

/* How many chunks were queued so far on all connections: what a message cost, for code that shares
 * out turns. */
uint64_t net_sends(const struct net *net);

/* How many bytes were queued so far, on all connections together, written since or not. Memory
 * cannot have grown by more through queues. */
uint64_t net_queued_bytes(const struct net *net);

/* Memory is short: closes the connections with the most that their peers have not read, largest
 * first, until about `bytes` will be free. Returns how many were closed; the memory comes back at
 * once, or when a peer that was told to go (conn_handler.relieve) is closed by another
 * call because it has not read that either. */
unsigned net_relieve(struct net *net, uint64_t bytes);

struct loop *net_loop(const struct net *net);
struct wheel *net_wheel(const struct net *net);
struct metrics *net_metrics(const struct net *net);

#endif
