/* SPDX-License-Identifier: MIT */
/* listener: accepts TCP connections, some per turn, and pauses when descriptors run out. */
#ifndef MUSTER_NODE_NET_LISTENER_H
#define MUSTER_NODE_NET_LISTENER_H

#include "node/net/address.h"
#include "node/net/net.h"

struct listener;

/* `fd` is stolen: non-blocking, close-on-exec, TCP_NODELAY. */
typedef void listener_fn(void *arg, int fd, const struct address *peer);

/* Listens on `bind` (see address_parse_bind; port 0 takes a free one). New, or NULL with a message
 * that names the address in `error`. */
struct listener *listener_open(struct net *net, const char *bind, listener_fn *fn, void *arg,
                               char *error, size_t error_size) __attribute__((warn_unused_result));

/* The same, but the port is not shared with other processes, whatever the net says. */
struct listener *listener_open_alone(struct net *net, const char *bind, listener_fn *fn, void *arg,
                                     char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Can this process listen on `bind`, alone? 0, or -1 with a message that names the address in
 * `error`. */
int listener_probe(const char *bind, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Where it listens, with the real port. */
const struct address *listener_address(const struct listener *listener);

/* TCP keep-alive of the connections accepted from now on: probes from `idle_s` seconds of silence
 * on (the start is 60), then every `interval_s` (15), dead after `probes` (4) without an answer. */
void listener_set_keepalive(struct listener *listener, int idle_s, int interval_s, int probes);

/* Accepts the connections that wait, then closes. Their peers believe that they are connected:
 * closing alone would reset them. After net_hand_over they are the successor's. NULL inside is fine. */
void listener_retire(struct listener **listener);

/* The same, but after inherited_keep the socket stays open, and clients that wait there wait for the one that
 * listens there next. */
void listener_park(struct listener **listener);

/* Stops listening and frees, resetting the connections that wait; NULL inside is fine. */
void listener_close(struct listener **listener);

#endif
