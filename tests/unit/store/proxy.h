/* SPDX-License-Identifier: MIT */
/* A TCP proxy on the test's own event loop, whose target for new connections can be switched: a
 * fail-over behind one address while old connections stay up. */
#ifndef MUSTER_TESTS_PROXY_H
#define MUSTER_TESTS_PROXY_H

#include <event2/event.h>

struct proxy;

struct proxy *proxy_new(struct event_base *base, int target_port);
void proxy_free(struct proxy **proxy);
int proxy_port(const struct proxy *proxy);

/* New connections go there; open ones stay where they are. */
void proxy_switch(struct proxy *proxy, int target_port);

/* Closes the open connection that was accepted as number `index` (0 is the first). */
void proxy_cut(struct proxy *proxy, int index);

/* Connections accepted so far. */
int proxy_accepted(const struct proxy *proxy);

/* From now on passes nothing on from the target to the client of connection `index`. */
void proxy_mute(struct proxy *proxy, int index);

/* New connections go in turn to one and the other. */
void proxy_split(struct proxy *proxy, int port, int other_port);

/* The open connection `index` goes on at another target; its client notices nothing. */
void proxy_retarget(struct proxy *proxy, int index, int target_port);

#endif
