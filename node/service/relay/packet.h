/* SPDX-License-Identifier: MIT */
/* relay_packet: the words of cross-server chat (docs/protocols.md#relay): what game servers send,
 * and what they are told. A packet is one JSON object; there is no framing. */
#ifndef MUSTER_NODE_SERVICE_RELAY_PACKET_H
#define MUSTER_NODE_SERVICE_RELAY_PACKET_H

#include "node/service/relay/seat.h"
#include "store/base/buf.h"

#include <stdint.h>

enum { RELAY_HOST_ID = 0 }; /* the identifier of the host, which is the cluster */

enum relay_kind {
    RELAY_HANDSHAKE,
    RELAY_SAYING, /* join, leave, message: for all others */
    RELAY_OTHER,
};

/* The kind of a packet, which is a valid JSON object; its type as it stands there goes to `type`
 * (replaced, short). */
enum relay_kind relay_packet_kind(struct span packet, struct buf *type);

/* What a game server says of itself. All zero before the first read. */
struct relay_handshake {
    struct buf look;   /* the members name, color, prefix of a JSON object, without its braces */
    struct buf name;   /* for logs */
    struct buf secret; /* empty where there is none */
    uint64_t players;
    bool stream; /* it takes packets apart that come in one read */
};

/* 0, or -1 when it is of no version that is spoken here. relay_handshake_deinit in both cases. */
int relay_handshake_read(struct span packet, struct relay_handshake *handshake)
    __attribute__((warn_unused_result));
void relay_handshake_deinit(struct relay_handshake *handshake);

/* Six hexadecimal digits. */
bool relay_is_color(struct span text);

/* The members name, color and prefix of a JSON object. A colour that is not six hexadecimal digits
 * becomes white: it ends up in markup. */
void relay_print_look(struct span name, struct span color, struct span prefix, struct buf *out);

/* The packet with the sender's own identifier in place of whatever it claims. */
void relay_print_saying(struct span packet, uint64_t id, struct buf *out);

/* A server came, and went. */
void relay_print_connection(const struct relay_server *server, struct buf *out);
void relay_print_disconnect(uint64_t id, struct buf *out);

/* The answer to the handshake of server `id`: the host, of that look, and the directory (struct
 * relay_server) without the server itself. */
void relay_print_acknowledge(const struct map *directory, uint64_t id, struct span host_look,
                             struct buf *out);

/* For people: every server of the directory, as a JSON array. */
void relay_print_servers(const struct map *directory, struct buf *out);

/* For the fleet's page: at most `most` of `seats` (struct relay_seat), by their names, cut, and how
 * many are left out: "servers":[{"name":"...","players":3}],"more":0 */
void relay_print_here(const struct list *seats, size_t most, struct buf *out);

#endif
