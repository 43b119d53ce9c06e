/* SPDX-License-Identifier: MIT */
/* address: where a peer is, small enough to keep one per connection. */
#ifndef MUSTER_NODE_NET_ADDRESS_H
#define MUSTER_NODE_NET_ADDRESS_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* IPv4 addresses are kept in their IPv6-mapped form (RFC 4291, 2.5.5.2), so that equal peers are
 * equal bytes, however they came in. */
struct address {
    unsigned char ip[16];
    uint16_t port; /* host order */
};

enum { ADDRESS_TEXT = 64 }; /* room for the longest text form and its NUL */

struct address address_of(const struct sockaddr *addr);

/* Fills `out` for use with sockets of `family` (AF_INET only for what is IPv4) and returns its
 * length. */
socklen_t address_sockaddr(const struct address *address, int family, struct sockaddr_storage *out);

bool address_is_ipv4(const struct address *address);

/* Of no host: 0.0.0.0 or :: (the port does not count). */
bool address_is_any(const struct address *address);

/* Whom limits by address count: an IPv4 address, or the /64 of an IPv6 one, which is what one customer
 * has: else he would come from another address each time. */
struct address_source {
    unsigned char ip[16];
};
struct address_source address_source(const struct address *address);
bool address_same_source(const struct address *a, const struct address *b);

/* IP and port. */
bool address_eq(const struct address *a, const struct address *b);

/* Writes "1.2.3.4" or "2001:db8::1" (RFC 5952) to `out` and returns it. */
const char *address_ip_text(const struct address *address, char out[static ADDRESS_TEXT]);

/* Writes "1.2.3.4:80" or "[2001:db8::1]:80" to `out` and returns it. */
const char *address_text(const struct address *address, char out[static ADDRESS_TEXT]);

/* Reads a numeric IP; the port becomes 0. 0, or -1 when it is none. */
int address_parse_ip(struct span text, struct address *out) __attribute__((warn_unused_result));

/* Reads "host:port", "[v6]:port" or ":port" (all addresses); the family to bind goes to *family. 0, or -1
 * when it is none. A host that is a name is looked up, which may take seconds: at start only. */
int address_parse_bind(const char *text, struct address *out, int *family)
    __attribute__((warn_unused_result));

#endif
