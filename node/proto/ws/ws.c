/* SPDX-License-Identifier: MIT */
/* The life of a WebSocket: accept, sends, control frames, the closing handshake (RFC 6455, 7). */
#include "node/proto/ws/ws.h"

#include "node/net/net.h"
#include "node/proto/http/impl.h"
#include "node/proto/ws/deflate.h"
#include "node/proto/ws/impl.h"
#include "store/base/check.h"
#include "store/base/clock.h"

enum {
    MESSAGE_MS = 60 * 1000, /* for a message to come in whole, from its first byte */
    CLOSE_MS = 5000,        /* for the peer to answer our close frame */
    LINGER_MS = 2000,       /* for what is queued, and for the peer to close the connection */
    TICK_MS = 100,          /* unit of a ws's times */
    PONG_BACKLOG =
        16 * 1024, /* bytes queued from which on only the last ping is answered (5.5.3) */
};

static const struct conn_handler handler;

static struct metrics *metrics_of(const struct ws *ws)
{
    return net_metrics(conn_net(ws->conn));
}

/* ------------------------------------------------------------------------------------- the timer */

static struct {
    uint32_t ping_ms, pong_ms;
} pings;

void ws_set_pings(uint32_t ping_ms, uint32_t pong_ms)
{
    pings.ping_ms = ping_ms;
    pings.pong_ms = pong_ms;
}

/* Time in the unit that a ws keeps it in; never 0. */
static uint32_t tick_now(void)
{
    return (uint32_t)(clock_monotonic_ms() / TICK_MS) + 1;
}

/* Of this one: three quarters of the setting and some, the same each time. */
static uint32_t ping_after_ms(const struct ws *ws)
{
    uint32_t share = (uint32_t)(conn_id(ws->conn) * 2654435761U) >> 22; /* 0 to 1023 */
    return pings.ping_ms - (uint32_t)((uint64_t)pings.ping_ms / 4 * share / 1024);
}

/* What the timer waits for, in the order in which it is looked at. */
enum due { DUE_MESSAGE, DUE_SILENCE, DUE_PONG, DUE_PING, DUE_NOTHING };

/* What is due first, and in *ms when: 0: now. */
static enum due first_due(const struct ws *ws, uint32_t now, uint64_t *ms)
{
    const struct {
        bool waits;
        uint32_t from;
        uint64_t after_ms;
    } all[] = {
        [DUE_MESSAGE] = {ws->begun != 0, ws->begun, MESSAGE_MS},
        [DUE_SILENCE] = {ws->begun == 0 && ws->idle_ms > 0, ws->heard, ws->idle_ms},
        [DUE_PONG] = {ws->asked, ws->heard, pings.pong_ms},
        [DUE_PING] = {pings.ping_ms > 0 && !ws->asked, ws->heard, ping_after_ms(ws)},
    };
    enum due first = DUE_NOTHING;
    for (enum due due = DUE_MESSAGE; due < DUE_NOTHING; due++) {
        uint64_t passed_ms = (uint64_t)(uint32_t)(now - all[due].from) * TICK_MS;
        uint64_t left_ms = passed_ms < all[due].after_ms ? all[due].after_ms - passed_ms : 0;
        if (all[due].waits && (first == DUE_NOTHING || left_ms < *ms)) {
            first = due;
            *ms = left_ms;
        }
    }
    return first;
}

static void set_timer(struct ws *ws)
{
    uint64_t ms = 0;
    enum due due = first_due(ws, tick_now(), &ms);
    conn_set_timer(ws->conn, due == DUE_NOTHING ? 0 : (uint32_t)(ms > 0 ? ms : 1));
}

/* -------------------------------------------------------------------------------- begin and end */

struct ws *ws_accept(struct http_request *request, const struct ws_handler *ws_handler, void *arg)
{
    struct buf accept = {0}, extensions = {0};
    http_handshake_accept(http_header(request, "sec-websocket-key"), &accept);
    http_reply_field(request, "Sec-WebSocket-Accept", buf_span(&accept));
    bool deflates =
        deflate_negotiate(http_header(request, "sec-websocket-extensions"), &extensions);
    if (deflates) {
        http_reply_field(request, "Sec-WebSocket-Extensions", buf_span(&extensions));
    }
    buf_free(&accept);
    buf_free(&extensions);
    size_t limit = 0;
    struct conn *conn = http_reply_upgrade(request, &limit);
    if (conn == NULL) {
        return NULL;
    }
    struct ws *ws = mem_zalloc(sizeof(*ws));
    ws->conn = conn;
    ws->handler = ws_handler;
    ws->arg = arg;
    ws->message_limit = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
    ws->deflates = deflates;
    conn_set_handler(conn, &handler, ws);
    ws->heard = tick_now();
    metrics_add(metrics_of(ws), METRIC_WS, 1);
    set_timer(ws);
    ws_yield(ws); /* frames that came with the handshake wait until our caller is ready for them */
    conn_resume(conn, CONN_PAUSE_SERVICE | CONN_PAUSE_ANSWERS); /* what HTTP had stopped for */
    return ws;
}

void ws_yield(struct ws *ws)
{
    conn_yield(ws->conn);
}

/* The one place where the state changes. */
static void set_state(struct ws *ws, enum ws_state state)
{
    CHECK(state > ws->state); /* only towards the end */
    if (ws->state == WS_OPEN) {
        metrics_sub(metrics_of(ws), METRIC_WS, 1);
    }
    ws->state = (uint8_t)state;
    if (state == WS_LEAVING) {
        conn_set_timer(ws->conn, CLOSE_MS);
        return;
    }
    conn_poke(ws->conn);
    if (state == WS_CLOSING) {
        conn_set_timer(ws->conn, CLOSE_MS);
    } else {
        conn_finish(ws->conn, LINGER_MS);
    }
    conn_resume(ws->conn, CONN_PAUSE_SERVICE); /* the peer's close must be seen */
}

bool ws_heeds(const struct ws *ws)
{
    return ws->state == WS_OPEN || ws->state == WS_LEAVING;
}

static void tell_closed(struct ws *ws)
{
    if (!ws->told) {
        ws->told = true;
        ws->handler->closed(ws->arg);
    }
}

/* Queues `chunk`, which it steals. */
static int send_chunk(struct ws *ws, struct chunk *chunk)
{
    int rc = conn_send(ws->conn, chunk);
    chunk_unref(chunk);
    return rc;
}

static size_t on_data(void *arg, struct span bytes)
{
    struct ws *ws = arg;
    bool answers =
        ws->asked; /* the timer is that of the answer, and the next ping may be due before */
    ws->heard = tick_now();
    ws->asked = false;
    size_t used = ws_read(ws, bytes);
    if (ws->state == WS_OPEN) {
        /* A message has begun, or none is under way any more: what it holds of our memory comes
         * back in time. */
        bool begun = !conn_is_paused(ws->conn, CONN_PAUSE_ALL) &&
                     (ws->partial != NULL || ws->reader != NULL);
        bool turns = begun != (ws->begun != 0);
        if (turns) {
            ws->begun = begun ? tick_now() : 0;
        }
        if (turns || answers) {
            set_timer(ws);
        }
    }
    return used;
}

static void on_poked(void *arg)
{
    struct ws *ws = arg;
    if (conn_is_paused(ws->conn, CONN_PAUSE_FAIRNESS)) {
        conn_resume(ws->conn, CONN_PAUSE_FAIRNESS);
        ws_read(ws, SPAN("")); /* frames that were fed to wslay already */
    }
    if (!ws_heeds(ws)) {
        tell_closed(ws);
    }
}

/* No answer was seen: is it the peer that is silent? While we do not read, or what it was asked has not
 * left, or bytes of it wait to be read (after a standstill of this process), it is not. */
static bool is_mute(const struct ws *ws)
{
    return !conn_is_paused(ws->conn, CONN_PAUSE_ALL) && conn_queued(ws->conn) == 0 &&
           !conn_has_unread(ws->conn);
}

/* The timer is not moved with each message: most often it finds that nothing is due yet. */
static void on_timer(void *arg)
{
    struct ws *ws = arg;
    uint64_t ms = 0;
    if (ws->state != WS_OPEN) {
        set_state(ws, WS_ENDED);
        return;
    }
    enum due due = first_due(ws, tick_now(), &ms);
    if (ms > 0) {
        conn_set_timer(ws->conn, (uint32_t)ms);
        return;
    }
    switch (due) {
    case DUE_MESSAGE:
        ws_close(ws, WS_POLICY, "the message takes too long");
        break;
    case DUE_SILENCE:
        ws_close(ws, WS_GOING_AWAY, "idle for too long");
        break;
    case DUE_PONG:
        if (is_mute(ws)) {
            metrics_add(metrics_of(ws), METRIC_WS_UNANSWERED, 1);
            ws_close(ws, WS_GOING_AWAY, "no answer to a ping");
        } else {
            ws->heard = tick_now();
            set_timer(ws);
        }
        break;
    case DUE_PING:
        ws->heard = tick_now(); /* the time for an answer runs from here */
        ws->asked = send_chunk(ws, ws_frame_ping()) ==
                    0; /* else what waits for the peer is question enough */
        set_timer(ws);
        break;
    case DUE_NOTHING:
        break;
    }
}

static void on_closed(void *arg, enum conn_end end)
{
    (void)end;
    struct ws *ws = arg;
    if (ws->state == WS_OPEN) {
        metrics_sub(metrics_of(ws), METRIC_WS, 1);
    }
    ws->state = WS_ENDED;
    tell_closed(ws);
    ws_read_deinit(ws);
    chunk_unref(ws->pong);
    free(ws);
}

/* ---------------------------------------------------------------------------------------- sends */

void ws_send(struct ws *ws, enum ws_kind kind, struct span payload)
{
    struct chunk *chunk = NULL;
    if (ws->state != WS_OPEN) {
        return;
    }
    if (ws->deflates && payload.len >= WS_DEFLATE_FROM) {
        chunk = ws_frame_deflated(kind, payload);
    }
    if (chunk == NULL) {
        chunk = ws_frame(kind, payload);
    }
    if (send_chunk(ws, chunk) < 0) {
        ws_overflow(ws);
    } else {
        metrics_add(metrics_of(ws), METRIC_WS_MESSAGES_OUT, 1);
    }
}

void ws_pause(struct ws *ws)
{
    if (ws->state == WS_OPEN) {
        conn_pause(ws->conn, CONN_PAUSE_SERVICE);
    }
}

void ws_resume(struct ws *ws)
{
    if (conn_is_paused(ws->conn, CONN_PAUSE_SERVICE)) {
        ws_yield(ws); /* what was read already comes first, at the end of the turn */
        conn_resume(ws->conn, CONN_PAUSE_SERVICE);
    }
}

static void start_close(struct ws *ws, unsigned code, struct span reason, enum ws_state state)
{
    if (send_chunk(ws, ws_frame_close(code, reason)) < 0) {
        state = WS_ENDED; /* no room for the frame: the peer is not reading anyway */
    }
    set_state(ws, state);
}

/* It is open, and its service has sent what it had for it. */
static bool is_ready_to_close(struct ws *ws)
{
    if (ws->state == WS_OPEN && ws->handler->closing != NULL) {
        ws->handler->closing(ws->arg); /* may be too much for its queue */
    }
    return ws->state == WS_OPEN;
}

static void on_drain(void *arg)
{
    struct ws *ws = arg;
    if (is_ready_to_close(ws)) {
        start_close(ws, WS_GOING_AWAY, SPAN("the server is going away"), WS_LEAVING);
    }
}

void ws_overflow(struct ws *ws)
{
    if (ws->state == WS_OPEN) {
        metrics_add(metrics_of(ws), METRIC_WS_OVERFLOWS, 1);
        conn_drop_queue(ws->conn);
        start_close(ws, WS_TRY_AGAIN, SPAN("reading too slowly"), WS_CLOSING);
    }
}

/* Memory is short and this peer has the most to read: as if it had gone over its own bound. */
static void on_relieve(void *arg)
{
    struct ws *ws = arg;
    if (ws->state == WS_OPEN) {
        ws_overflow(ws);
    } else {
        conn_reset(ws->conn);
    }
}

void ws_set_idle(struct ws *ws, uint32_t ms)
{
    ws->idle_ms = ms;
    if (ws->state == WS_OPEN) {
        set_timer(ws);
    }
}

void ws_close(struct ws *ws, enum ws_code code, const char *reason)
{
    if (is_ready_to_close(ws)) {
        start_close(ws, code, span_str(reason), WS_CLOSING);
    }
}

void ws_fail(struct ws *ws, enum ws_code code, const char *reason)
{
    metrics_add(metrics_of(ws), METRIC_WS_PROTOCOL_ERRORS, 1);
    if (ws->state == WS_OPEN) {
        start_close(ws, code, span_str(reason), WS_ENDED);
    } else if (ws->state != WS_ENDED) {
        set_state(ws, WS_ENDED);
    }
}

/* -------------------------------------------------------------------------- what the peer says */

void ws_on_message(struct ws *ws, struct span payload)
{
    metrics_add(metrics_of(ws), METRIC_WS_MESSAGES_IN, 1);
    enum ws_kind kind = (enum ws_kind)ws->kind;
    if (ws_heeds(ws)) {
        ws->handler->message(ws->arg, kind, payload);
    }
}

void ws_on_part(struct ws *ws, struct span so_far)
{
    if (ws->handler->part != NULL) {
        ws->handler->part(ws->arg, (enum ws_kind)ws->kind, so_far);
    }
}

static void flush_pong(struct ws *ws)
{
    struct chunk *pong = ws->pong;
    ws->pong = NULL;
    if (pong != NULL && ws->state == WS_OPEN && conn_send(ws->conn, pong) < 0) {
        ws_overflow(ws);
    }
    chunk_unref(pong);
}

void ws_on_ping(struct ws *ws, struct span payload)
{
    chunk_unref(ws->pong);
    ws->pong = ws_frame_pong(payload);
    if (conn_queued(ws->conn) < PONG_BACKLOG) {
        flush_pong(ws);
    }
}

static void on_drained(void *arg)
{
    struct ws *ws = arg;
    flush_pong(ws);
    if (ws->state == WS_OPEN && ws->handler->drained != NULL) {
        ws->handler->drained(ws->arg);
    }
}

static bool code_may_be_sent(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

void ws_on_close(struct ws *ws, struct span payload)
{
    unsigned code = 0;
    struct span reason = {NULL, 0};
    if (payload.len >= 2) {
        code = (unsigned)(unsigned char)payload.ptr[0] << 8 | (unsigned char)payload.ptr[1];
        reason = span_skip(payload, 2);
    }
    if (ws->state != WS_OPEN) {
        set_state(ws, WS_ENDED);
    } else if (payload.len == 1 || (payload.len > 1 && !code_may_be_sent(code))) {
        ws_fail(ws, WS_PROTOCOL_ERROR, "malformed close frame");
    } else if (!utf8_valid(reason)) {
        ws_fail(ws, WS_INVALID_DATA, "a close reason must be UTF-8");
    } else {
        start_close(ws, code, (struct span){NULL, 0}, WS_ENDED);
    }
}

/* ------------------------------------------------------------------------------------ the rest */

struct conn *ws_conn(const struct ws *ws)
{
    return ws->conn;
}

bool ws_deflates(const struct ws *ws)
{
    return ws->deflates;
}

bool ws_is_open(const struct ws *ws)
{
    return ws->state == WS_OPEN;
}

static const struct conn_handler handler = {.data = on_data,
                                            .drained = on_drained,
                                            .timer = on_timer,
                                            .poked = on_poked,
                                            .relieve = on_relieve,
                                            .drain = on_drain,
                                            .closed = on_closed};
