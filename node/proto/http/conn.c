/* SPDX-License-Identifier: MIT */
/* One HTTP connection. Pipelined requests are answered in order by reading none while one is with
 * its handler: the rest of what was read stays with the conn. */
#include "node/net/conn_peer.h"
#include "node/proto/http/impl.h"

#include "node/net/net.h"
#include "node/proto/http/forwarded.h"
#include "node/proto/http/page.h"
#include "node/proto/json/scan.h"
#include "node/proto/proxy.h"
#include "store/base/clock.h"

enum {
    MOST_QUEUED = 64 * 1024, /* bytes of answers a client may leave unread and still ask more */
    REQUESTS_PER_TURN = 16,  /* of one client; then others have their turn */
    LEAVE_MOMENT_MS = 2000,  /* since its last answer: a client that may be about to ask again */
};

static const struct conn_handler handler;

void http_conn_new(struct http_server *server, int fd, const struct address *peer)
{
    struct http_conn *http = mem_zalloc(sizeof(*http));
    http->server = server;
    http->conn = conn_new(server->net, fd, peer, &handler, http);
    if (server->options.trusted != NULL && cidr_list_has(server->options.trusted, peer)) {
        http->early = mem_zalloc(sizeof(*http->early));
    }
    conn_set_timer(http->conn, server->options.request_ms);
}

static void start_request(struct http_conn *http)
{
    struct http_request *request = mem_zalloc(sizeof(*request));
    request->http = http;
    request->peer = *conn_peer(http->conn);
    request->own_only = http->server->options.same_origin;
    http->request = request;
    if (http->answered_ms != 0) {
        conn_set_timer(http->conn, http->server->options.request_ms);
    }
}

static void drop_early(struct http_conn *http)
{
    if (http->early != NULL) {
        buf_free(http->early);
        free(http->early);
        http->early = NULL;
    }
}

void http_request_free(struct http_request *request)
{
    buf_free(&request->head);
    buf_free(&request->body);
    buf_free(&request->joined);
    buf_free(&request->reply_fields);
    free(request->fields);
    free(request);
}

/* ------------------------------------------------------------------------------------ answers */

static void count(struct http_request *request, int status)
{
    struct metrics *metrics = net_metrics(request->http->server->net);
    metrics_add(metrics, METRIC_HTTP_REQUESTS, 1);
    if (status >= 400) {
        metrics_add(metrics, METRIC_HTTP_ERRORS, 1);
    }
}

static int send_buf(struct conn *conn, struct buf *out)
{
    struct chunk *chunk = chunk_copy(buf_span(out));
    int rc = conn_send(conn, chunk);
    chunk_unref(chunk);
    buf_free(out);
    return rc;
}

void http_reply(struct http_request *request, int status, const char *type, struct span body)
{
    struct http_conn *http = request->http;
    if (http == NULL) {
        http_request_free(request);
        return;
    }
    struct buf out = {0};
    request->close = request->close || http->server->draining;
    count(request, status);
    http_reply_print(request, status, type, body, &out);
    if (send_buf(http->conn, &out) < 0) {
        request->close = true; /* an answer is missing: nothing right can follow */
    }
    bool close = request->close;
    http_request_free(request);
    http->request = NULL;
    http->answered_ms = clock_monotonic_ms();
    bool late = loop_turn_us(net_loop(http->server->net)) > LOOP_TURN_BUDGET_US;
    if ((++http->turn_requests == REQUESTS_PER_TURN || late) && http->feeding) {
        conn_yield(http->conn);
    }
    if (close) {
        http->closing = true;
        conn_finish(http->conn, HTTP_LINGER_MS);
        return;
    }
    conn_set_timer(http->conn, http->server->options.keep_alive_ms);
    if (conn_queued(http->conn) > MOST_QUEUED) {
        conn_pause(http->conn, CONN_PAUSE_ANSWERS); /* until they are written */
    }
    conn_resume(http->conn, CONN_PAUSE_SERVICE);
}

void http_reply_error(struct http_request *request, int status, const char *format, ...)
{
    struct buf text = {0}, body = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    buf_append(&body, SPAN("{\"error\": "));
    json_quote(buf_span(&text), &body);
    buf_append(&body, SPAN("}\n"));
    http_reply(request, status, "application/json", buf_span(&body));
    buf_free(&text);
    buf_free(&body);
}

struct conn *http_reply_upgrade(struct http_request *request, size_t *message_limit)
{
    struct http_conn *http = request->http;
    struct conn *conn = NULL;
    if (http != NULL) {
        struct buf out = {0};
        *message_limit = http->server->options.ws_message_limit;
        count(request, 101);
        http_reply_begin(request, 101, &out);
        buf_append(&out, SPAN("Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"));
        conn = http->conn;
        conn_pause(conn, CONN_PAUSE_SERVICE);
        http->request = NULL;
        http->upgraded = true;
        conn_peer_set(conn, &request->peer); /* it is that client's alone from now on */
        send_buf(conn, &out);
        if (!http->feeding) {
            drop_early(http);
            free(http);
        }
    }
    http_request_free(request);
    return conn;
}

void http_reply_page(struct http_request *request, struct span page)
{
    struct buf policy = {0};
    http_page_policy(page, &policy);
    http_reply_field(request, "Cache-Control", SPAN("no-cache"));
    http_reply_field(request, "Content-Security-Policy", buf_span(&policy));
    http_reply_field(request, "X-Content-Type-Options", SPAN("nosniff"));
    http_reply_field(request, "Referrer-Policy", SPAN("no-referrer"));
    http_reply(request, 200, "text/html; charset=utf-8", page);
    buf_free(&policy);
}

/* ------------------------------------------------------------------------------------ reading */

static void fail(struct http_request *request, struct http_error error)
{
    request->close = true;
    http_reply_error(request, error.status, "%s", error.text);
}

static void hand_over(struct http_request *request)
{
    conn_set_timer(request->http->conn, 0);
    request->route->fn(request->route->arg, request);
}

static struct http_error expect(struct http_request *request, bool more_came)
{
    struct span expected = http_header(request, "expect");
    if (expected.ptr == NULL || request->minor == 0) {
        return HTTP_OK;
    }
    if (!span_eq_nocase(expected, SPAN("100-continue"))) {
        return http_error(417, "only 100-continue can be expected here");
    }
    if (request->stage != HTTP_AT_END && !more_came) {
        struct chunk *chunk = chunk_copy(SPAN("HTTP/1.1 100 Continue\r\n\r\n"));
        conn_send(request->http->conn, chunk);
        chunk_unref(chunk);
    }
    return HTTP_OK;
}

/* The client, where a trusted proxy names it: each request of one connection may be another client's. */
static struct http_error find_client(struct http_request *request)
{
    const struct http_conn *http = request->http;
    const struct cidr_list *trusted = http->server->options.trusted;
    const struct address *peer = conn_peer(http->conn);
    if (trusted != NULL && cidr_list_has(trusted, peer) &&
        !http_forwarded_client(trusted, peer, http_header(request, "forwarded"),
                               http_header(request, "x-forwarded-for"), &request->peer)) {
        return http_error(400, "Forwarded and X-Forwarded-For name different clients");
    }
    bool crowded = http->crowded ||
                   (http_wants_websocket(request) && !conn_peer_may_be(http->conn, &request->peer));
    return crowded ? http_error(503, "too many connections from this address") : HTTP_OK;
}

/* Why a request is refused before its body comes, or HTTP_OK. `*framed`: it is known where the request
 * ends. `*preflight`: the answer is that of a CORS preflight. */
static struct http_error check_head(struct http_request *request, bool more_came, bool *framed,
                                    bool *preflight)
{
    struct http_server *server = request->http->server;
    struct http_error error = http_head_read(request);
    if (error.status != 0) {
        return error;
    }
    if (request->body_left > server->options.body_limit) {
        return http_error(413, "the body is too large");
    }
    *framed = true;
    error = find_client(request);
    if (error.status != 0) {
        return error;
    }
    error = http_server_route(server, request, preflight);
    if (error.status != 0) {
        return error;
    }
    error = expect(request, more_came);
    if (error.status != 0) {
        return error;
    }
    if (*preflight && request->stage != HTTP_AT_END) {
        return http_error(400, "a preflight has no body");
    }
    return HTTP_OK;
}

static void head_done(struct http_request *request, bool more_came)
{
    bool framed = false, preflight = false;
    struct http_error error = check_head(request, more_came, &framed, &preflight);
    if (error.status != 0 && framed && request->stage == HTTP_AT_END) {
        http_reply_error(request, error.status, "%s", error.text); /* the next one may follow */
    } else if (error.status != 0) {
        fail(request, error);
    } else if (request->stage != HTTP_AT_END) {
        return; /* the body comes */
    } else if (preflight) {
        conn_set_timer(request->http->conn, 0);
        http_reply(request, 204, NULL, SPAN(""));
    } else {
        hand_over(request);
    }
}

static size_t feed_head(struct http_request *request, struct span bytes)
{
    struct http_conn *http = request->http;
    size_t limit = http->server->options.header_limit, room = limit - request->head.len;
    struct span part = span_of(bytes.ptr, bytes.len < room ? bytes.len : room);
    long end = http_lines_end(&request->lines, part);
    part.len = end > 0 ? (size_t)end : part.len;
    buf_append(&request->head, part);
    if (end < 0) {
        fail(request, http_error(400, "malformed request"));
    } else if (end == 0 && request->head.len == limit) {
        fail(request, http_error(431, "the header is too large"));
    } else if (end > 0 && !request->lines.begun) {
        /* An empty line before a request is passed over (RFC 9112, 2.2) and leaves the connection
         * idle. */
        http_request_free(http->request);
        http->request = NULL;
        if (http->answered_ms != 0) {
            conn_set_timer(http->conn, http->server->options.keep_alive_ms);
        }
    } else if (end > 0) {
        head_done(request, part.len < bytes.len);
    }
    return part.len;
}

static size_t feed_body(struct http_request *request, struct span bytes)
{
    size_t used;
    size_t limit = request->http->server->options.body_limit;
    struct http_error error = http_body_read(request, limit, bytes, &used);
    if (error.status != 0) {
        fail(request, error);
    } else if (request->stage == HTTP_AT_END) {
        hand_over(request);
    }
    return used;
}

/* A request is with its handler. */
static bool is_handled(const struct http_conn *http)
{
    return http->request != NULL && http->request->stage == HTTP_AT_END;
}

static bool reads_on(const struct http_conn *http)
{
    return !is_handled(http) && !http->upgraded && !http->closing &&
           !conn_is_paused(http->conn, CONN_PAUSE_ALL);
}

/* Returns how many were taken. */
static size_t feed(struct http_conn *http, struct span bytes)
{
    size_t used = 0;
    while (used < bytes.len && reads_on(http)) {
        struct span rest = span_skip(bytes, used);
        if (http->request == NULL) {
            start_request(http);
        }
        used += http->request->stage == HTTP_IN_HEAD ? feed_head(http->request, rest)
                                                     : feed_body(http->request, rest);
    }
    return used;
}

/* A trusted proxy may begin with a PROXY header. What turns out to be none is the beginning of a
 * request: so few bytes that it cannot be whole. Returns how many of `bytes` were taken. */
static size_t take_early(struct http_conn *http, struct span bytes)
{
    struct proxy proxy;
    size_t before = http->early->len, used;
    buf_append(http->early, bytes);
    int found = proxy_read(buf_span(http->early), &proxy, &used);
    if (found == 0) {
        return bytes.len;
    }
    if (found > 0) {
        http->crowded = proxy.known && !conn_peer_may_be(http->conn, &proxy.source);
        conn_peer_set(http->conn, proxy.known ? &proxy.source : conn_peer(http->conn));
    } else {
        feed(http, span_of(http->early->ptr, before));
    }
    drop_early(http);
    return found > 0 ? used - before : 0;
}

static size_t on_data(void *arg, struct span bytes)
{
    struct http_conn *http = arg;
    size_t used = 0;
    http->feeding = true;
    http->turn_requests = 0;
    if (http->early != NULL) {
        used = take_early(http, bytes);
    }
    used += feed(http, span_skip(bytes, used));
    http->feeding = false;
    if (http->upgraded) {
        free(http);
        return used;
    }
    if (http->closing) {
        return bytes.len;
    }
    if (is_handled(http)) {
        conn_pause(http->conn, CONN_PAUSE_SERVICE);
    }
    return used;
}

/* ---------------------------------------------------------------------------- and what follows */

static void on_poked(void *arg)
{
    struct http_conn *http = arg;
    conn_resume(http->conn, CONN_PAUSE_FAIRNESS);
}

static void on_drained(void *arg)
{
    struct http_conn *http = arg;
    conn_resume(http->conn, CONN_PAUSE_ANSWERS);
}

static void on_timer(void *arg)
{
    struct http_conn *http = arg;
    if (http->request != NULL) {
        fail(http->request, http_error(408, "the request took too long"));
        return;
    }
    http->closing = true;
    conn_finish(http->conn, HTTP_LINGER_MS);
}

/* A client that asks often is about to ask again: closed now, that request would be cut. Its answer
 * says "Connection: close" instead. A client that does not ask within a moment is closed then. */
static void on_drain(void *arg)
{
    struct http_conn *http = arg;
    uint64_t idle_ms = clock_monotonic_ms() - http->answered_ms;
    if (http->request != NULL) {
        http->request->close = true; /* after its answer */
    } else if (http->answered_ms != 0 && idle_ms < LEAVE_MOMENT_MS) {
        conn_set_timer(http->conn, (uint32_t)(LEAVE_MOMENT_MS - idle_ms));
    } else {
        http->closing = true;
        conn_finish(http->conn, HTTP_LINGER_MS);
    }
}

static void on_closed(void *arg, enum conn_end end)
{
    (void)end;
    struct http_conn *http = arg;
    if (http->request != NULL && http->request->stage == HTTP_AT_END) {
        http->request->http = NULL; /* its handler still has it */
    } else if (http->request != NULL) {
        http_request_free(http->request);
    }
    drop_early(http);
    free(http);
}

static const struct conn_handler handler = {
    .data = on_data,
    .drained = on_drained,
    .timer = on_timer,
    .poked = on_poked,
    .drain = on_drain,
    .closed = on_closed,
    .half_open = true, /* a client may ask, say no more and wait for its answer */
};
