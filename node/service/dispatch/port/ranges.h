/* SPDX-License-Identifier: MIT */
/* The ports that drivers may open: "6000-6999, 2020, tcp:2021, udp:47808". */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_PORT_RANGES_H
#define MUSTER_NODE_SERVICE_DISPATCH_PORT_RANGES_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct dispatch_range {
    uint16_t low, high; /* both belong to it */
    bool tcp, udp;      /* of which kinds */
};

/* All zero is an empty list. */
struct dispatch_ranges {
    struct dispatch_range *ranges; /* owned */
    size_t count;
};

/* A number from 1 to 65535, or 0. */
unsigned dispatch_port_number(struct span text);

/* Reads ports and ranges separated by commas; "tcp:" or "udp:" before one: of that kind only. 0, or
 * -1 with the item that is none in *wrong (borrowed from `text`) and an empty list. */
int dispatch_ranges_parse(struct span text, struct dispatch_ranges *out, struct span *wrong)
    __attribute__((warn_unused_result));

void dispatch_ranges_free(struct dispatch_ranges *ranges);

bool dispatch_ranges_have(const struct dispatch_ranges *ranges, bool is_udp, unsigned port);

#endif
