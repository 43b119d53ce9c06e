/* SPDX-License-Identifier: MIT */
/* dispatch_mesh: what the nodes of dispatch say to each other over the bus. A message is a head,
 * which names the sending node, and frames:
 *
 *     head   u8 form (store/wire.h) | u64 epoch | u8 length | name of the node
 *     frame  u8 type | u64 leg | u32 sequence | u32 size | size bytes                  big-endian
 *
 * The head is the same in all forms. One without frames says: I cannot read what you say. Frames of unknown
 * types, and what stands behind the known part of a frame that carries no bytes, are passed over.
 *
 * A leg is the way between one device connection and one other node that has drivers for it. Below,
 * the device's node speaks first:
 *
 *     OPEN       a device connected: its id, dispatch port, address
 *     DATA       bytes of the device                       } counted against the credit
 *     WROTE      so many bytes of WRITEs reached the device's system
 *     END        it is gone
 *     DATAGRAM   from a UDP device: dispatch port, address, IP that it spoke to, bytes
 *
 *     CREDIT     so many bytes more may come
 *     WRITE      bytes for the device
 *     SHUT       disconnect it
 *     LEAVE      no driver here wants it any more
 *     LOST       bytes may be missing: this leg cannot go on
 *     SEND       a UDP datagram for an address, from a dispatch port */
#ifndef MUSTER_NODE_SERVICE_DISPATCH_MESSAGE_H
#define MUSTER_NODE_SERVICE_DISPATCH_MESSAGE_H

#include "node/net/address.h"
#include "store/base/buf.h"

enum mesh_type {
    MESH_OPEN,
    MESH_DATA,
    MESH_WROTE,
    MESH_END,
    MESH_DATAGRAM,
    MESH_CREDIT,
    MESH_WRITE,
    MESH_SHUT,
    MESH_LEAVE,
    MESH_LOST,
    MESH_SEND,
    MESH_TYPES
};

struct mesh_message {
    enum mesh_type type;
    uint64_t leg;        /* 0 for datagrams */
    uint32_t sequence;   /* of the frames of this leg in this direction, from 0 */
    uint64_t device;     /* OPEN */
    uint16_t port;       /* OPEN, DATAGRAM, SEND: dispatch port */
    struct address peer; /* the same: the device's address */
    struct address here; /* DATAGRAM: the IP that the device spoke to */
    uint32_t count;      /* CREDIT, WROTE: bytes */
    struct span bytes;   /* DATA, WRITE, DATAGRAM, SEND */
};

struct mesh_head {
    uint64_t epoch;
    struct span node;
    unsigned form; /* as it was read; written is this program's */
};

/* Appends the head; `node` is at most 255 bytes. */
void dispatch_mesh_message_put_head(struct buf *out, const struct mesh_head *head);
void dispatch_mesh_message_put(struct buf *out, const struct mesh_message *frame);

/* Cuts the head off *message. 0, or -1 when it is none. */
int dispatch_mesh_message_read_head(struct span *message, struct mesh_head *head)
    __attribute__((warn_unused_result));

/* Can the frames behind that head be read? */
bool dispatch_mesh_message_is_read(const struct mesh_head *head);

/* Cuts the next frame off *rest. Above 0: here it is, borrowed; 0: that was all; below 0: broken.
 */
int dispatch_mesh_message_next(struct span *rest, struct mesh_message *frame)
    __attribute__((warn_unused_result));

#endif
