/* SPDX-License-Identifier: MIT */
/* http forwarded: which client a request is from when proxies stand between, by the fields that they add to:
 * Forwarded (RFC 7239) and X-Forwarded-For. Each proxy appends the address that connected to it,
 * so the list is read from its end, through proxies that are trusted: the first address that is none of
 * these is the client's. What stands before it the client may have made up.
 *
 * A proxy adds to one of the two fields, and most let the other one pass as the client sent it: where both
 * name a client, and not the same one, one of them was made up, and nobody knows which. */
#ifndef MUSTER_NODE_PROTO_HTTP_FORWARDED_H
#define MUSTER_NODE_PROTO_HTTP_FORWARDED_H

#include "node/net/cidr.h"

/* The client (*client) of a request that came from `peer`, which is one of `trusted`, with the values of
 * the two fields (several lines joined with commas; empty: not there). A list that names nobody, or whose
 * next hop is no address, leaves the last trusted one. The port is 0 where it is not said. false: the fields
 * name two different clients. */
bool http_forwarded_client(const struct cidr_list *trusted, const struct address *peer,
                           struct span forwarded, struct span x_forwarded_for,
                           struct address *client) __attribute__((warn_unused_result));

#endif
