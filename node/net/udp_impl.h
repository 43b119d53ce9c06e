/* SPDX-License-Identifier: MIT */
/* What net.c and udp.c share; no other file includes it. */
#ifndef MUSTER_NODE_NET_UDP_IMPL_H
#define MUSTER_NODE_NET_UDP_IMPL_H

#include "store/base/list.h"

/* Writes the queue of the socket whose link in net.udp_dirty this is, and unlinks it. */
void udp_flush(struct list *dirty);

#endif
