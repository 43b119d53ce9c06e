/* SPDX-License-Identifier: MIT */
/* ws: the server side of a WebSocket (RFC 6455, with RFC 7692 without context takeover).
 *
 *     conn bytes -> wslay frame layer -> fragments put together, inflated, checked -> message()
 *
 * Pings are answered here, and sent to a peer that is silent; one that breaks the protocol is closed
 * with the right code. */
#ifndef MUSTER_NODE_PROTO_WS_WS_H
#define MUSTER_NODE_PROTO_WS_WS_H

#include "node/net/conn.h"
#include "node/proto/http/http.h"

struct ws;

enum ws_kind { WS_TEXT = 1, WS_BINARY = 2 }; /* opcodes */

/* Close codes, RFC 6455 7.4.1 and the registry it opened. */
enum ws_code {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL_ERROR = 1002,
    WS_UNSUPPORTED = 1003,
    WS_INVALID_DATA = 1007,
    WS_POLICY = 1008,
    WS_TOO_BIG = 1009,
    WS_INTERNAL = 1011,
    WS_TRY_AGAIN = 1013,
    WS_TOKEN_NEEDED = 4401, /* to our pages, which cannot see a 401 */
};

struct ws_handler {
    /* A whole message, text checked to be UTF-8; borrowed until return. */
    void (*message)(void *arg, enum ws_kind kind, struct span payload);
    /* What there is of a long message so far: more of it comes in, and then message(), or closed(). For
     * who looks at it as it comes, so that it does not take long in the end; borrowed until return. Not
     * called for one that comes deflated. May be NULL. */
    void (*part)(void *arg, enum ws_kind kind, struct span so_far);
    /* What was queued has been written. May be NULL. */
    void (*drained)(void *arg);
    /* The node closes it in good order, and nothing will go behind the close frame: the last time to
     * send what this peer is still to have; not to be closed in it. May be NULL. */
    void (*closing)(void *arg);
    /* The WebSocket is no longer open, whichever side ended it: the last call, never inside another
     * call to this ws but at the end of the turn. The closing handshake goes on by itself after
     * it. */
    void (*closed)(void *arg);
};

/* For all WebSockets of this process: a peer that was silent for `ping_ms` gets a ping (RFC 6455,
 * 5.5.2), up to a quarter earlier, so that not all get theirs at once; one that sends nothing for
 * `pong_ms` after it is closed with 1001. `ping_ms` 0: no pings. */
void ws_set_pings(uint32_t ping_ms, uint32_t pong_ms);

/* Answers the handshake 101 and takes the connection over; the request is given back. `handler` is
 * borrowed for the ws's life, which ends with closed(). NULL when the client has gone meanwhile;
 * then closed() is not called. */
struct ws *ws_accept(struct http_request *request, const struct ws_handler *handler, void *arg);

/* Sends one message, deflated where that was agreed and pays (50 bytes and more). Over the queue
 * limit the peer is closed as by ws_overflow. Sends to a WebSocket that is closing are dropped. */
void ws_send(struct ws *ws, enum ws_kind kind, struct span payload);

/* The peer reads too slowly: what is queued is dropped and it is closed with 1013. */
void ws_overflow(struct ws *ws);

/* Stops and restarts reading, for a service that cannot take more just now: no message comes
 * between them. A closing ws reads again by itself. */
void ws_pause(struct ws *ws);
void ws_resume(struct ws *ws);

/* Starts the closing handshake; `reason` is cut to 123 bytes. Does nothing when it was started
 * before. */
void ws_close(struct ws *ws, enum ws_code code, const char *reason);

/* Closes it with 1001 once the peer has sent nothing, frame or message, for `ms`; 0: never. A pong is a
 * frame. */
void ws_set_idle(struct ws *ws, uint32_t ms);

/* What a group needs to send to it: its connection, and whether frames may be deflated. */
struct conn *ws_conn(const struct ws *ws);
bool ws_deflates(const struct ws *ws);
bool ws_is_open(const struct ws *ws);

/* Builds one unfragmented, unmasked frame: new. `deflated` sets RSV1 and deflates the payload (RFC
 * 7692 7.2.1), NULL when that makes it no smaller. */
struct chunk *ws_frame(enum ws_kind kind, struct span payload);
struct chunk *ws_frame_deflated(enum ws_kind kind, struct span payload);

/* The same, plain, of a payload in two parts. */
struct chunk *ws_frame_parts(enum ws_kind kind, struct span first, struct span second);

enum {
    WS_DEFLATE_FROM = 50
}; /* bytes; shorter messages go out as they are (docs/protocols.md#websockets) */

#endif
