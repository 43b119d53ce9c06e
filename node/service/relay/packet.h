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

/* What a host says, as one hears it that has joined it. */
enum relay_news {
    RELAY_NEWS_ELSE,    /* nothing that matters here */
    RELAY_NEWS_WELCOME, /* the handshake was taken: own identity, host, and the others there */
    RELAY_NEWS_CAME,    /* a server */
    RELAY_NEWS_WENT,
    RELAY_NEWS_SAYING, /* of a server: join, leave, message */
};

/* All zero before the read; relay_told_deinit after it, whatever came of it. */
struct relay_told {
    uint64_t id, host;     /* whose news it is; the host's identifier */
    struct span host_look; /* lies in `looks` */
    struct list servers;   /* its own; those that are there, or came, without the host */
    struct buf looks;
};

enum relay_news relay_told_read(struct span packet, struct relay_told *told);
void relay_told_each(const struct relay_told *told,
                     void (*fn)(void *arg, const struct relay_server *server), void *arg);
void relay_told_deinit(struct relay_told *told);

/* The handshake of a server of that look; `secret` may be empty. */
void relay_print_handshake(struct span look, uint64_t players, struct span secret, bool stream,
                           struct buf *out);

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

/* A server as one that comes is told of it: a JSON object. */
void relay_print_known(uint64_t id, struct span look, struct buf *out);

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
