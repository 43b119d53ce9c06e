/* SPDX-License-Identifier: MIT */
/* drain: the end of a node. Its clients leave a few at a time, so that they do not fall on the other
 * nodes at once. */
#ifndef MUSTER_NODE_NET_DRAIN_H
#define MUSTER_NODE_NET_DRAIN_H

#include <stdint.h>

struct drain;
struct net;

/* Starts it: what net_drain says. New; `net` is borrowed for its life. */
struct drain *drain_start(struct net *net, uint32_t ms, void (*done)(void *arg), void *arg);

/* Frees *drain and nulls it; NULL inside is fine. */
void drain_free(struct drain **drain);

#endif
