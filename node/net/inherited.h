/* SPDX-License-Identifier: MIT */
/* inherited: bound sockets that this process was started with, by the one whose place it takes or by
 * a service manager. Code that binds to the same address is given the socket instead: no client that
 * connects meets a closed port in between. */
#ifndef MUSTER_NODE_NET_INHERITED_H
#define MUSTER_NODE_NET_INHERITED_H

#include "node/net/address.h"

#include <stdbool.h>
#include <stddef.h>

/* Takes over `fd`, a bound socket; anything else is closed. */
void inherited_add(int fd);

/* The socket of `type` that is bound there, which is the caller's from now on; or -1. */
int inherited_take(int type, int family, const struct address *address);

/* Is there such a socket? */
bool inherited_has(int type, int family, const struct address *address);

/* Until inherited_drop: sockets that are parked stay here, open, for the next one that binds there. For a
 * process that takes another one's place, whose clients come over one by one. */
void inherited_keep(void);

/* With inherited_keep, keeps what `fd` is, which stays the caller's; its peers wait meanwhile. Was
 * it kept? */
bool inherited_park(int fd);

/* Closes those that nobody took: peers would wait there in vain. Returns how many. */
unsigned inherited_drop(void);

/* Writes the descriptors of this process that are listening TCP sockets, or bound UDP sockets without a
 * peer, into `out`; returns how many, `most` at most. */
size_t inherited_mine(int *out, size_t most);

#endif
