/* SPDX-License-Identifier: MIT */
#include "node/proto/http/http.h"
#include "node/net/net.h"
#include "tests/unit/proto/peer.h"

static const struct http_options options = {.header_limit = 1024,
                                            .body_limit = 100,
                                            .request_ms = 200,
                                            .keep_alive_ms = 200,
                                            .ws_message_limit = 1000,
                                            .hosts = "ours.example"};

static struct http_request *waiting; /* at /later */
static int handled;

static void echo(void *arg, struct http_request *request)
{
    (void)arg;
    struct buf body = {0}, name = {0};
    handled++;
    buf_printf(&body, "[%.*s]", SPAN_ARG(http_path(request)));
    buf_printf(&body, "[%.*s]", SPAN_ARG(http_body(request)));
    buf_printf(&body, "[%.*s]", SPAN_ARG(http_header(request, "x-test")));
    if (http_query(request, "name", &name)) {
        buf_printf(&body, "[%s]", name.ptr);
    }
    http_reply_field(request, "X-Echo", SPAN("a\r\nb: c"));
    http_reply(request, 200, "text/plain", buf_span(&body));
    buf_free(&body);
    buf_free(&name);
}

static void later(void *arg, struct http_request *request)
{
    (void)arg;
    handled++;
    waiting = request;
}

static void big(void *arg, struct http_request *request)
{
    (void)arg;
    static char bytes[300000];
    handled++;
    http_reply(request, 200, "text/plain", span_of(bytes, sizeof(bytes)));
}

static void upgrade(void *arg, struct http_request *request)
{
    (void)arg;
    http_reply_error(request, 500, "not \"now\"\n");
}

static int setup(void **state)
{
    struct peer *peer = peer_new(&options, 1 << 20, 2);
    http_route(peer->server, "GET", "/", echo, NULL);
    http_route(peer->server, "GET", "/echo", echo, NULL);
    http_route(peer->server, "POST", "/echo", echo, NULL);
    http_route(peer->server, "GET", "/later", later, NULL);
    http_route(peer->server, "GET", "/big", big, NULL);
    http_route(peer->server, "GET", "/both", echo, NULL);
    http_route(peer->server, "GET", "/own", echo, NULL);
    http_guard(peer->server, "/own", HTTP_ORIGIN_OWN);
    http_route_websocket(peer->server, "/both", upgrade, NULL);
    http_route_websocket(peer->server, "/ws", upgrade, NULL);
    *state = peer;
    return 0;
}

static int teardown(void **state)
{
    peer_free(*state);
    return 0;
}

static size_t times(struct peer *peer, const char *text)
{
    size_t n = 0;
    for (const char *at = buf_text(&peer->got); (at = strstr(at, text)) != NULL; at++) {
        n++;
    }
    return n;
}

static void expect_in(struct peer *peer, const char *text)
{
    if (times(peer, text) == 0) {
        fail_msg("\"%s\" is not in \"%s\"", text, buf_text(&peer->got));
    }
}

/* The request, whole and byte by byte, is answered with `status`, and then the connection is closed
 * or not. */
static void expect_status(struct peer *peer, const char *request, int status, bool closed)
{
    char line[32];
    snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    for (size_t piece = 0; piece < 3; piece++) {
        peer_connect(peer);
        peer_send(peer, span_str(request), piece);
        if (strncmp(buf_text(&peer->got), line, strlen(line)) != 0 || peer->eof != closed) {
            fail_msg("wanted %d, closed %d; got \"%s\", closed %d for \"%s\"", status, closed,
                     buf_text(&peer->got), peer->eof, request);
        }
        assert_int_equal(times(peer, "HTTP/1.1 "), 1);
        expect_in(peer, "\r\nAccess-Control-Allow-Origin: *\r\n");
        assert_int_equal(times(peer, "\r\nConnection: close\r\n"), closed ? 1 : 0);
        if (status >= 400) {
            expect_in(peer, "\r\nContent-Type: application/json\r\n");
            expect_in(peer, "\r\n\r\n{\"error\": \"");
        }
    }
}

#define HOST "Host: a\r\n"

static void test_requests(void **state)
{
    struct peer *peer = *state;
    expect_status(peer, "GET / HTTP/1.1\r\n" HOST "\r\n", 200, false);
    expect_in(peer, "\r\n\r\n[/][][]");
    expect_in(peer, "\r\nContent-Length: 7\r\n");
    expect_in(peer, "\r\nX-Echo: ab: c\r\n"); /* no line of its own */
    expect_status(peer, "\r\n\r\nGET /echo/ HTTP/1.1\r\n" HOST "\r\n", 200, false);
    expect_in(peer, "[/echo/]");
    expect_status(peer, "GET http://b/echo?name=%41+b%2 HTTP/1.1\r\n" HOST "\r\n", 200, false);
    expect_in(peer, "[/echo][][][A b%2]");
    expect_status(peer, "GET /echo?x=1&na%6de=v&name=w#name HTTP/1.1\r\n" HOST "\r\n", 200, false);
    expect_in(peer, "[v]");
    expect_status(peer, "GET /echo HTTP/1.1\r\n" HOST "X-Test:  a b \t\r\n\r\n", 200, false);
    expect_in(peer, "[a b]");
    expect_status(peer,
                  "GET /echo HTTP/1.1\r\n" HOST "X-Test: a\r\nB: c\r\nX-TEST:\r\nx-test:d\r\n\r\n",
                  200, false);
    expect_in(peer, "[a, , d]");
    expect_status(peer, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 200, false);
    expect_in(peer, "[/echo][abc]");
    expect_status(peer, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 200, false);
    expect_status(peer, "GET /echo HTTP/1.1\r\n" HOST "Connection: Foo , CLOSE\r\n\r\n", 200, true);
    expect_status(peer, "GET /echo HTTP/1.0\r\n\r\n", 200, true);
    expect_status(peer, "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, false);
    expect_in(peer, "\r\nConnection: keep-alive\r\n");
}

static void test_chunked(void **state)
{
    struct peer *peer = *state;
#define CHUNKED "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
    expect_status(peer, CHUNKED "3\r\nabc\r\n0\r\n\r\n", 200, false);
    expect_in(peer, "[/echo][abc]");
    expect_status(peer, CHUNKED "2;a=\"b\"\r\nab\r\n00A\r\n0123456789\r\n0\r\nX-Test: t\r\n\r\n",
                  200, false);
    expect_in(peer, "[/echo][ab0123456789][]");
    expect_status(peer, CHUNKED "0\r\n\r\n", 200, false);
    static const char *const bad[] = {CHUNKED "\r\n",
                                      CHUNKED "g\r\n",
                                      CHUNKED "3\nabc\r\n0\r\n\r\n",
                                      CHUNKED "3\r\nabcd\r\n",
                                      CHUNKED "3 \r\nabc\r\n",
                                      CHUNKED "0x3\r\nabc\r\n",
                                      CHUNKED "-1\r\n",
                                      CHUNKED "3\r\nabc0\r\n",
                                      CHUNKED "0\r\n\n",
                                      CHUNKED "3\rabc",
                                      CHUNKED "3;a\nb\r\nabc",
                                      CHUNKED "0000000000000003\r\nabc",
                                      CHUNKED "0\r\na\x01\r\n",
                                      CHUNKED "0\r\na: b\r\n c\r\n\r\n",
                                      CHUNKED "3\r\nabc\n0\r\n\r\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        expect_status(peer, bad[i], 400, true);
    }
    expect_status(peer, CHUNKED "65\r\n", 413, true);
    expect_status(peer, CHUNKED "fffffffffffffff\r\n", 413, true);
}

/* Each could be read in two ways, or is no HTTP. */
static void test_malformed(void **state)
{
    struct peer *peer = *state;
    handled = 0;
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n\r\n",              /* no Host */
        "GET / HTTP/1.1\r\n" HOST HOST "\r\n", /* two */
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n", /* absolute, and no Host all the same */
        "GET http:///echo HTTP/1.1\r\n" HOST "\r\n",
        "GET http://?a HTTP/1.1\r\n" HOST "\r\n",
        "GET http://u:p@a/ HTTP/1.1\r\n" HOST "\r\n",
        "GET https://a,b/ HTTP/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.1\r\n" HOST "Bad Name: b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Name : b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "name\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "a: b\r\n c\r\n\r\n", /* obs-fold */
        "GET / HTTP/1.1\r\n a: b\r\n" HOST "\r\n",
        "GET / HTTP/1.1\r\n" HOST "a: b\rc: d\r\n\r\n", /* bare CR */
        "GET / HTTP/1.1\n" HOST "\r\n",                 /* bare LF */
        "GET / HTTP/1.1\r\n" HOST "a: b\x01\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "a: b\x7f\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\n" HOST "\r\n",
        "GET /a\tb HTTP/1.1\r\n" HOST "\r\n",
        "GET / a HTTP/1.1\r\n" HOST "\r\n",
        "GET  HTTP/1.1\r\n" HOST "\r\n",
        " GET / HTTP/1.1\r\n" HOST "\r\n",
        "FOO / HTTP/1.1\r\n" HOST "\r\n",
        "get / HTTP/1.1\r\n" HOST "\r\n",
        "GET  / HTTP/1.1\r\n" HOST "\r\n",
        "GET /  HTTP/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.1 \r\n" HOST "\r\n",
        "GET / HTTP/11\r\n" HOST "\r\n",
        "GET /\r\n\r\n", /* HTTP/0.9 */
        "GET / HTTX/1.1\r\n" HOST "\r\n",
        "\x16\x03\x01\x02", /* TLS */
        "POST /echo HTTP/1.1\r\n" HOST
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3, 4\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: -3\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\nabc",
        "POST /echo HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        expect_status(peer, bad[i], 400, true);
    }
    expect_status(peer, "GET / HTTP/2.0\r\n" HOST "\r\n", 505, true);
    expect_status(peer, "GET / HTTP/3.1\r\n" HOST "\r\n", 505, true);
    peer_connect(peer);
    peer_send(peer, SPAN("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), 0);
    expect_in(peer, "HTTP/1.1 400 ");
    assert_int_equal(handled, 0);
}

static void test_codings_and_lengths(void **state)
{
    struct peer *peer = *state;
    expect_status(peer, "POST /echo HTTP/1.1\r\n" HOST "\r\n", 411, true);
    expect_status(peer, "PUT /echo HTTP/1.1\r\n" HOST "\r\n", 411, true);
    expect_status(peer, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n",
                  501, true);
    expect_status(peer, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 101\r\n\r\n", 413, true);
    expect_status(
        peer, "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n",
        413, true);
    expect_status(peer, "POST /echo HTTP/1.1\r\n" HOST "Expect: 1\r\nContent-Length: 1\r\n\r\n",
                  417, true);
    expect_status(
        peer, "POST /none HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        404, true);
}

static void test_header_limits(void **state)
{
    struct peer *peer = *state;
    struct buf request = {0};
    buf_append(&request, SPAN("GET / HTTP/1.1\r\n" HOST "X-Test: "));
    while (request.len < options.header_limit - 4) {
        buf_append(&request, SPAN("a"));
    }
    size_t fill = request.len;
    buf_append(&request, SPAN("\r\n\r\n"));
    expect_status(peer, buf_text(&request), 200, false);
    request.len = fill;
    buf_append(&request, SPAN("a\r\n\r\n"));
    expect_status(peer, buf_text(&request), 431, true);
    request.len = 0;
    buf_append(&request, SPAN("GET / HTTP/1.1\r\n" HOST));
    for (int i = 0; i < 100; i++) {
        buf_append(&request, SPAN("a: b\r\n"));
    }
    buf_append(&request, SPAN("\r\n"));
    expect_status(peer, buf_text(&request), 431, true);
    buf_free(&request);
}

static void test_routes(void **state)
{
    struct peer *peer = *state;
    expect_status(peer, "GET /none HTTP/1.1\r\n" HOST "\r\n", 404, false);
    expect_status(peer, "GET /ech HTTP/1.1\r\n" HOST "\r\n", 404, false);
    expect_status(peer, "GET /echo// HTTP/1.1\r\n" HOST "\r\n", 404, false);
    expect_status(peer, "DELETE /echo HTTP/1.1\r\n" HOST "\r\n", 405, false);
    expect_in(peer, "\r\nAllow: GET, HEAD, POST, OPTIONS\r\n");
    expect_status(peer, "POST /later HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\na", 405, true);
    expect_status(peer, "HEAD /echo HTTP/1.1\r\n" HOST "\r\n", 200, false);
    expect_in(peer, "\r\nContent-Length: 11\r\n");
    assert_int_equal(times(peer, "[/echo]"), 0);
    expect_status(peer, "CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n", 404, false);
}

static void test_preflight(void **state)
{
    struct peer *peer = *state;
    expect_status(peer,
                  "OPTIONS /echo HTTP/1.1\r\n" HOST "Origin: http://b\r\n"
                  "Access-Control-Request-Headers: x-a, Content-Type\r\n\r\n",
                  204, false);
    expect_in(peer, "\r\nAccess-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n");
    expect_in(peer, "\r\nAccess-Control-Allow-Headers: x-a, Content-Type\r\n");
    expect_in(peer, "\r\nAccess-Control-Max-Age: 86400\r\n");
    assert_int_equal(times(peer, "Content-Length"), 0);
    expect_status(peer,
                  "OPTIONS /echo HTTP/1.1\r\n" HOST "Access-Control-Request-Headers: <b>\r\n\r\n",
                  204, false);
    assert_int_equal(times(peer, "<b>"), 0);
    expect_status(peer, "OPTIONS /none HTTP/1.1\r\n" HOST "\r\n", 404, false);
    expect_status(peer, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 204, false);
}

/* To a path of our own pages. */
static void expect_own(struct peer *peer, const char *target, const char *host, const char *origin,
                       int status)
{
    char line[32];
    struct buf request = {0};
    snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    buf_printf(&request, "GET %s HTTP/1.1\r\nHost: %s\r\n", target, host);
    if (origin != NULL) {
        buf_printf(&request, "Origin: %s\r\n", origin);
    }
    buf_append(&request, SPAN("\r\n"));
    peer_connect(peer);
    peer_send(peer, buf_span(&request), 0);
    if (strncmp(buf_text(&peer->got), line, strlen(line)) != 0) {
        fail_msg("wanted %d, got \"%s\" for \"%s\"", status, buf_text(&peer->got),
                 buf_text(&request));
    }
    buf_free(&request);
}

/* The target's authority goes before Host (RFC 9112, 3.2.2); for names that are let in both count. */
static void test_the_name_that_is_asked_by(void **state)
{
    struct peer *peer = *state;
    expect_own(peer, "/own", "ours.example", NULL, 200);
    expect_own(peer, "/own", "evil.example", NULL, 421);
    expect_own(peer, "http://ours.example/own", "ours.example", NULL, 200);
    expect_own(peer, "HTTPS://OURS.example:8443/own", "localhost", NULL, 200);
    expect_own(peer, "http://evil.example/own", "ours.example", NULL, 421);
    expect_own(peer, "http://127.0.0.1.evil.example/own", "127.0.0.1", NULL, 421);
    expect_own(peer, "http://ours.example/own", "evil.example", NULL, 421);
    expect_own(peer, "/own", "ours.example", "http://ours.example", 200);
    expect_own(peer, "http://ours.example/own", "localhost", "http://ours.example", 200);
    expect_own(peer, "http://ours.example/own", "localhost", "http://localhost", 403);
    expect_own(peer, "http://localhost:80/own", "ours.example", "http://ours.example", 403);
}

static void test_pipelining(void **state)
{
    struct peer *peer = *state;
    for (size_t piece = 0; piece < 8; piece++) {
        peer_connect(peer);
        peer_send(peer,
                  SPAN("GET /echo?name=1 HTTP/1.1\r\n" HOST "\r\n"
                       "POST /echo?name=2 HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab" CHUNKED
                       "1\r\nc\r\n0\r\n\r\n"
                       "GET /later HTTP/1.1\r\n" HOST "\r\n"
                       "GET /echo?name=5 HTTP/1.1\r\n" HOST "\r\n"),
                  piece);
        assert_int_equal(times(peer, "200 OK"), 3); /* none overtakes */
        assert_non_null(waiting);
        http_reply(waiting, 200, "text/plain", SPAN("[4]"));
        peer_settle(peer);
        assert_int_equal(times(peer, "200 OK"), 5);
        const char *at = strstr(buf_text(&peer->got), "[/echo][][][1]");
        at = at != NULL ? strstr(at, "[/echo][ab][][2]") : NULL;
        at = at != NULL ? strstr(at, "[/echo][c][]") : NULL;
        at = at != NULL ? strstr(at, "[4]") : NULL;
        assert_non_null(at != NULL ? strstr(at, "[/echo][][][5]") : NULL);
    }
}

static void test_unread_answers_do_not_pile_up(void **state)
{
    struct peer *peer = *state;
    struct buf requests = {0};
    for (int i = 0; i < 100; i++) {
        buf_append(&requests, SPAN("GET /big HTTP/1.1\r\n" HOST "\r\n"));
    }
    handled = 0;
    peer_connect(peer);
    assert_int_equal(send(peer->fd, requests.ptr, requests.len, 0), requests.len);
    int fd = peer->fd;
    peer->fd = -1; /* turns without reading */
    peer_settle(peer);
    assert_in_range(handled, 1, 3);
    peer->fd = fd;
    peer_settle(peer);
    assert_int_equal(handled, 100);
    assert_false(peer->eof);
    buf_free(&requests);
}

static void test_continue(void **state)
{
    struct peer *peer = *state;
    peer_connect(peer);
    peer_send(
        peer,
        SPAN("POST /echo HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n"),
        0);
    assert_string_equal(buf_text(&peer->got), "HTTP/1.1 100 Continue\r\n\r\n");
    peer_send(peer, SPAN("ab"), 0);
    expect_in(peer, "[ab]");
    peer_connect(peer);
    peer_send(
        peer,
        SPAN("POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab"),
        0);
    assert_int_equal(times(peer, "100 Continue"), 0); /* it did not wait */
}

static void test_times(void **state)
{
    struct peer *peer = *state;
    peer_connect(peer);
    peer_send(peer, SPAN("GET / HT"), 0);
    assert_true(peer_waits_for_eof(peer));
    expect_in(peer, "HTTP/1.1 408 ");
    peer_connect(peer);
    peer_send(peer, SPAN("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\na"), 0);
    assert_true(peer_waits_for_eof(peer));
    expect_in(peer, "HTTP/1.1 408 ");
    peer_connect(peer);
    peer_send(peer, SPAN("GET / HTTP/1.1\r\n" HOST "\r\n"), 0);
    assert_true(peer_waits_for_eof(peer));
    assert_int_equal(times(peer, "HTTP/1.1"), 1); /* in silence */
    peer_connect(peer);
    assert_true(peer_waits_for_eof(peer)); /* never said a thing */
    assert_int_equal(peer->got.len, 0);
    peer_connect(peer); /* a handler may take its time */
    peer_send(peer, SPAN("GET /later HTTP/1.1\r\n" HOST "\r\n"), 0);
    uint64_t end = clock_monotonic_ms() + 500;
    while (clock_monotonic_ms() < end) {
        peer_turn(peer);
        usleep(1000);
    }
    http_reply(waiting, 200, NULL, SPAN(""));
    peer_settle(peer);
    expect_in(peer, "200 OK");
}

static void test_the_client_may_go(void **state)
{
    struct peer *peer = *state;
    char text[ADDRESS_TEXT];
    peer_connect(peer);
    peer_send(peer, SPAN("GET /later HTTP/1.1\r\n" HOST "\r\nGET /"), 0);
    /* As at the end of the process. */
    net_free(&peer->net);
    assert_string_equal(address_text(http_peer(waiting), text), "10.0.0.1:99");
    http_reply(waiting, 200, NULL, SPAN(""));
}

static void on_gone(void *arg)
{
    *(bool *)arg = true;
}

static void test_drain(void **state)
{
    struct peer *peer = *state;
    bool gone = false;
    peer_connect(peer);
    peer_send(peer, SPAN("GET /later HTTP/1.1\r\n" HOST "\r\n"), 0);
    int busy = peer->fd;
    peer->fd = -1;
    peer_connect(peer);
    peer_settle(peer);
    http_server_drain(peer->server);
    net_drain(peer->net, 5000, on_gone, &gone);
    assert_true(peer_waits_for_eof(peer)); /* it was idle */
    close(peer->fd);
    peer->fd = busy;
    peer->eof = false;
    peer_settle(peer);
    assert_false(peer->eof);
    http_reply(waiting, 200, NULL, SPAN("x"));
    assert_true(peer_waits_for_eof(peer));
    expect_in(peer, "\r\nConnection: close\r\n");
    close(peer->fd);
    peer->fd = -1;
    for (int i = 0; i < 2000 && !gone; i++) {
        peer_turn(peer);
        usleep(1000);
    }
    assert_true(gone);
}

static void test_too_many(void **state)
{
    struct peer *peer = *state;
    peer_connect(peer);
    int first = peer->fd;
    peer->fd = -1;
    peer_connect(peer);
    int second = peer->fd;
    peer->fd = -1;
    peer_connect(peer);
    peer_settle(peer);
    expect_in(peer, "HTTP/1.1 503 ");
    expect_in(peer, "\r\nRetry-After: ");
    const char *body = strstr(buf_text(&peer->got), "\r\n\r\n");
    char length[40];
    snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n", strlen(body + 4));
    expect_in(peer, length);
    assert_true(peer->eof);
    close(first);
    close(second);
}

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define SHAKE HOST "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"

static void test_handshakes(void **state)
{
    struct peer *peer = *state;
    /* What gets through to the handler is answered 500 there. */
    expect_status(peer, "GET /ws HTTP/1.1\r\n" SHAKE KEY VERSION "\r\n", 500, false);
    expect_in(peer, "{\"error\": \"not \\\"now\\\"\\n\"}");
    expect_status(peer, "GET /both HTTP/1.1\r\n" SHAKE KEY VERSION "\r\n", 500, false);
    expect_status(peer,
                  "GET /ws HTTP/1.1\r\n" HOST
                  "Upgrade: h2c, WebSocket\r\nConnection: UPGRADE\r\n" KEY VERSION "\r\n",
                  500, false);
    expect_status(peer, "GET /both HTTP/1.1\r\n" HOST "\r\n", 200, false);
    expect_status(peer, "GET /ws HTTP/1.1\r\n" HOST "\r\n", 426, false);
    expect_in(peer, "\r\nUpgrade: websocket\r\n");
    expect_in(peer, "\r\nConnection: Upgrade\r\n");
    expect_status(peer, "GET /ws HTTP/1.1\r\n" SHAKE KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426,
                  false);
    expect_in(peer, "\r\nSec-WebSocket-Version: 13\r\n");
    expect_status(peer, "GET /ws HTTP/1.1\r\n" SHAKE KEY "\r\n", 426, false);
    expect_status(peer, "GET /ws HTTP/1.1\r\n" SHAKE VERSION "\r\n", 400, false);
    expect_status(peer, "GET /ws HTTP/1.1\r\n" SHAKE KEY KEY VERSION "\r\n", 400, false);
    expect_status(peer, "GET /ws HTTP/1.1\r\n" SHAKE VERSION "Sec-WebSocket-Key: AAAA\r\n\r\n", 400,
                  false);
    expect_status(peer,
                  "GET /ws HTTP/1.1\r\n" SHAKE VERSION
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ!=\r\n\r\n",
                  400, false);
    expect_status(peer, "GET /ws HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n" KEY VERSION "\r\n",
                  400, false);
    expect_status(peer, "GET /ws HTTP/1.0\r\n" SHAKE KEY VERSION "\r\n", 400, false);
    expect_status(peer, "POST /ws HTTP/1.1\r\n" SHAKE KEY VERSION "Content-Length: 0\r\n\r\n", 400,
                  false);
    expect_status(peer, "POST /ws HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 405, false);
    expect_in(peer, "\r\nAllow: GET, HEAD, OPTIONS\r\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_requests),          TEST(test_chunked),
        TEST(test_malformed),         TEST(test_codings_and_lengths),
        TEST(test_header_limits),     TEST(test_routes),
        TEST(test_preflight),         TEST(test_the_name_that_is_asked_by),
        TEST(test_pipelining),        TEST(test_unread_answers_do_not_pile_up),
        TEST(test_continue),          TEST(test_times),
        TEST(test_the_client_may_go), TEST(test_drain),
        TEST(test_too_many),          TEST(test_handshakes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
