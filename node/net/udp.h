/* SPDX-License-Identifier: MIT */
/* udp: one UDP socket. Datagrams come in and go out whole, many per system call.
 *
 *     socket --recvmmsg--> data() for each datagram   (receive buffers shared by the net's sockets)
 *     udp_send(chunk reference) --> queue --sendmmsg at the end of the turn--> socket
 *
 * UDP promises nothing, so neither does the queue: what finds no room is dropped and counted.
 *
 * A socket on all addresses of a host hears at each of them. An answer has to leave from the one that
 * was asked: a peer with a connected socket, a NAT or a firewall drops what comes from another. */
#ifndef MUSTER_NODE_NET_UDP_H
#define MUSTER_NODE_NET_UDP_H

#include "node/net/udp_path.h"
#include "store/base/chunk.h"
#include "store/base/span.h"

struct net;

struct udp;

enum { UDP_LARGEST = 65507 }; /* bytes that one datagram can carry over IPv4 */

/* A datagram came in whole (it may be empty); both are borrowed until return. The callee may close
 * this socket or any other inside. */
typedef void udp_fn(void *arg, const struct udp_path *path, struct span bytes);

/* Receives on `bind` (see address_parse_bind; port 0 takes a free one). New, or NULL with a message
 * that names the address in `error`. */
struct udp *udp_open(struct net *net, const char *bind, udp_fn *fn, void *arg, char *error,
                     size_t error_size) __attribute__((warn_unused_result));

/* Can this process receive on `bind`, alone? 0, or -1 with a message that names the address in
 * `error`. */
int udp_probe(const char *bind, char *error, size_t error_size) __attribute__((warn_unused_result));

/* Where it receives, with the real port. */
const struct address *udp_address(const struct udp *udp);

/* Queues `chunk`, one datagram, with its own reference, for the end of the turn. 0, or -1 (and
 * counted as dropped) when it is too large, the queue is full, or the peer has an IPv6 address and the
 * socket none. */
int udp_send(struct udp *udp, const struct udp_path *path, struct chunk *chunk);

/* Writes what the kernel takes of the queue, stops receiving and frees; NULL inside is fine. */
void udp_close(struct udp **udp);

/* The same, but after inherited_keep the socket stays open: datagrams wait for the next owner. */
void udp_park(struct udp **udp);

#endif
