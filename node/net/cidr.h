/* SPDX-License-Identifier: MIT */
/* cidr: ranges of IP addresses, "10.0.0.0/8", "2001:db8::/32", or one address "10.1.2.3".
 * "::ffff:10.0.0.0/8" is the same as "10.0.0.0/8"; a range of mapped addresses (RFC 4291, 2.5.5.2)
 * that would take in more than IPv4 is none. */
#ifndef MUSTER_NODE_NET_CIDR_H
#define MUSTER_NODE_NET_CIDR_H

#include "node/net/address.h"
#include "store/base/span.h"

#include <stdbool.h>
#include <stddef.h>

struct cidr {
    unsigned char ip[16]; /* IPv4 mapped, as in struct address */
    uint8_t bits;         /* of the 128 that count */
};

/* All zero is an empty list. */
struct cidr_list {
    struct cidr *ranges; /* owned */
    size_t count;
};

/* Reads ranges separated by commas; blanks around them and empty items are passed over. 0, or -1
 * with the item that is none in *wrong (borrowed from `text`) and an empty list. */
int cidr_list_parse(struct span text, struct cidr_list *out, struct span *wrong)
    __attribute__((warn_unused_result));

void cidr_list_free(struct cidr_list *list);

/* Is the address in one of the ranges? */
bool cidr_list_has(const struct cidr_list *list, const struct address *address);

#endif
