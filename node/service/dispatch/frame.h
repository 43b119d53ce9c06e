/* SPDX-License-Identifier: MIT */
/* dispatch_frame: what dispatch and its drivers say to each other, one frame in one binary
 * WebSocket message (docs/protocols.md#dispatch):
 *
 *     u8 type | IP address as text, NUL | u64 id or port | u32 size | size bytes      big-endian */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_FRAME_H
#define MUSTER_NODE_SERVICE_DISPATCH_FRAME_H

#include "store/base/span.h"

#include <stdint.h>

enum dispatch_type {
    DISPATCH_OPENED,   /* to the driver: a device connected */
    DISPATCH_CLOSED,   /* to the driver: it is gone */
    DISPATCH_RECEIVED, /* to the driver: data of a device */
    DISPATCH_WRITE,    /* of the driver: data for a device */
    DISPATCH_CLOSE,    /* of the driver: disconnect it */
};

struct dispatch_frame {
    enum dispatch_type type;
    struct span ip;      /* text, without its NUL */
    uint64_t id_or_port; /* TCP: the device connection; UDP: the device's port */
    struct span data;
};

enum dispatch_fault {
    DISPATCH_UNKNOWN_TYPE = -1, /* there is no such type */
    DISPATCH_BROKEN = -2,       /* cut short, too long, or the text has no end */
};

/* Longest text of an IP address that is taken for one. */
enum { DISPATCH_IP_MOST = 63, DISPATCH_HEAD_MOST = 1 + DISPATCH_IP_MOST + 1 + 8 + 4 };

/* Reads `message`, which must be exactly one frame; the parts are borrowed from it. 0, or an enum
 * dispatch_fault. */
int dispatch_frame_read(struct span message, struct dispatch_frame *out)
    __attribute__((warn_unused_result));

/* Writes all of `frame` but its data (of which the length goes in) to `out`; the number of bytes.
 * An ip longer than DISPATCH_IP_MOST is cut. */
size_t dispatch_frame_head(const struct dispatch_frame *frame, char out[static DISPATCH_HEAD_MOST]);

#endif
