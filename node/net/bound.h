/* SPDX-License-Identifier: MIT */
/* bound: a socket that is bound to an address, for listeners and for UDP. */
#ifndef MUSTER_NODE_NET_BOUND_H
#define MUSTER_NODE_NET_BOUND_H

#include <stdbool.h>
#include <stddef.h>

/* New socket of `type` (SOCK_STREAM or SOCK_DGRAM), non-blocking and close-on-exec, bound to `bind`
 * ("host:port", see address_parse_bind; an IPv6 one takes IPv4 peers, too). `shared`: others of this user
 * may bind there as well (SO_REUSEPORT). The family goes to *family. Or -1: errno says why, 0 where
 * `bind` is no address. */
int bound_open(const char *bind, int type, bool shared, int *family)
    __attribute__((warn_unused_result));

/* Has this process been given the socket that is bound there (net/inherited.h)? bound_open takes it. */
bool bound_is_given(const char *bind, int type);

/* Writes why bound_open failed: what could not be done on `bind`. */
void bound_error(const char *what, const char *bind, char *error, size_t error_size);

#endif
