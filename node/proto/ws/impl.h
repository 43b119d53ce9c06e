/* SPDX-License-Identifier: MIT */
/* What the ws_*.c files share; no other file includes it.
 *
 *     ws.c        life: accept, sends, the closing handshake
 *     read.c   frames in, messages put together
 *     frame.c  frames out */
#ifndef MUSTER_NODE_PROTO_WS_IMPL_H
#define MUSTER_NODE_PROTO_WS_IMPL_H

#include "node/proto/ws/ws.h"
#include "store/base/buf.h"
#include "store/base/utf8.h"

#include <assert.h>

/*     OPEN --ws_close, ws_overflow--> CLOSING --peer's close, time--> ENDED
 *       \______________ peer's close, protocol error ________________/
 *     OPEN --the node goes away--> LEAVING --peer's close, time--> ENDED
 *
 * CLOSING waits for the peer's close frame and drops all else; ENDED reads nothing more. LEAVING has
 * sent its close frame too, so it says nothing more, but what the peer sent before it saw that frame
 * is carried out: it did nothing wrong, and has no way to know what was not. */
enum ws_state { WS_OPEN, WS_LEAVING, WS_CLOSING, WS_ENDED };

/* Ten thousand idle ones must cost next to nothing: what only a message needs is apart, and one timer
 * serves for pings, silence and messages that take too long. */
struct ws {
    struct conn *conn;
    const struct ws_handler *handler;
    void *arg;
    struct ws_reader *reader; /* lent from the pool while a frame is half-read */
    struct buf *partial;      /* of a message that began in an earlier read; mostly NULL */
    struct chunk *pong;       /* waits for the queue to empty; mostly NULL */
    uint32_t message_limit;
    uint32_t idle_ms;    /* 0: silence is fine */
    uint32_t heard;      /* tick at which the peer sent something last, or a ping is counted from */
    uint32_t begun;      /* tick at which the message under way began; 0: none is */
    struct utf8 utf8;    /* of the text under way */
    uint8_t state;       /* enum ws_state */
    uint8_t kind;        /* enum ws_kind of the message under way, or 0 */
    bool compressed : 1; /* the message under way */
    bool deflates : 1;
    bool asked : 1; /* a ping is out, and the peer has sent nothing since */
    bool told : 1;  /* closed() was called */
};

static_assert(sizeof(struct ws) <= 72, "72 bytes are what the allocator gives for 80");

/* ------------------------------------------------------------------------------------ read.c */

/* Takes `bytes` and calls on_message and so on below; how many were taken (all, but when it had
 * enough for this turn: then the conn is paused and poked, and ws_read goes on from there). */
size_t ws_read(struct ws *ws, struct span bytes);

/* Frees what the message and the frame under way hold. */
void ws_read_deinit(struct ws *ws);

/* ----------------------------------------------------------------------------------------- ws.c */

/* Does what the peer says still count? */
bool ws_heeds(const struct ws *ws);

/* Reading goes on after the others had their turn. */
void ws_yield(struct ws *ws);
void ws_on_message(struct ws *ws, struct span payload);
void ws_on_part(struct ws *ws, struct span so_far);
void ws_on_ping(struct ws *ws, struct span payload);
void ws_on_close(struct ws *ws, struct span payload);
void ws_fail(struct ws *ws, enum ws_code code, const char *reason);

/* ----------------------------------------------------------------------------------- frame.c */

struct chunk *ws_frame_ping(void);
struct chunk *ws_frame_pong(struct span payload);

/* A close frame; code 0: without one. The reason is cut to what fits, between two characters. */
struct chunk *ws_frame_close(unsigned code, struct span reason);

#endif
