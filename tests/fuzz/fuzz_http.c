/* SPDX-License-Identifier: MIT */
/* Requests, whole and in pieces: the answers must be the same. */
#include "node/proto/http/auth.h"
#include "tests/fuzz/fuzz_peer.h"

static struct fuzz_peer peer;
static struct http_request *waiting;

static void echo(void *arg, struct http_request *request)
{
    (void)arg;
    struct buf body = {0}, value = {0};
    buf_append(&body, http_path(request));
    buf_append(&body, http_header(request, "x"));
    if (http_query(request, "q", &value)) {
        buf_append(&body, buf_span(&value));
    }
    buf_append(&body, http_body(request));
    http_reply_field(request, "X", http_header(request, "x"));
    http_reply(request, 200, "text/plain", buf_span(&body));
    buf_free(&body);
    buf_free(&value);
}

static void later(void *arg, struct http_request *request)
{
    (void)arg;
    waiting = request;
}

static void guarded(void *arg, struct http_request *request)
{
    if (http_authorize(request, HTTP_AUTH_ALWAYS, "one\ntwo", "token")) {
        echo(arg, request);
    }
}

static bool reply_later(void)
{
    struct http_request *request = waiting;
    waiting = NULL;
    if (request != NULL) {
        http_reply(request, 200, NULL, http_path(request));
    }
    return request != NULL;
}

static void init(void)
{
    static const struct http_options options = {.header_limit = 512,
                                                .body_limit = 64,
                                                .request_ms = 1000000,
                                                .keep_alive_ms = 1000000,
                                                .ws_message_limit = 100,
                                                .origins = "https://o, http://p",
                                                .hosts = "status.o, .dom",
                                                .no_url_tokens = true};
    fuzz_peer_init(&peer, &options);
    http_route(peer.server, "GET", "/", echo, NULL);
    http_route(peer.server, "POST", "/", echo, NULL);
    http_route(peer.server, "GET", "/l", later, NULL);
    http_route(peer.server, "GET", "/a", guarded, NULL);
    http_route_websocket(peer.server, "/w", echo, NULL);
    http_route(peer.server, "POST", "/p", echo, NULL);
    http_guard(peer.server, "/p", HTTP_ORIGIN_LISTED);
    http_route(peer.server, "GET", "/o", echo, NULL);
    http_guard(peer.server, "/o", HTTP_ORIGIN_OWN);
}

/* Whether 100 is sent depends on how much has come. */
static bool asks_to_continue(struct span in)
{
    for (size_t i = 0; i + 6 <= in.len; i++) {
        if (strncasecmp(in.ptr + i, "expect", 6) == 0) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready) {
        init();
        ready = true;
    }
    static struct buf whole, pieces;
    whole.len = pieces.len = 0;
    struct span in = span_of(data, size);
    fuzz_play(&peer, in, 0, &whole, reply_later);
    fuzz_play(&peer, in, (uint32_t)size * 2 + 1, &pieces, reply_later);
    if (!span_eq(buf_span(&whole), buf_span(&pieces)) && !asks_to_continue(in)) {
        fprintf(stderr, "whole: %.*s\npieces: %.*s\n", SPAN_ARG(buf_span(&whole)),
                SPAN_ARG(buf_span(&pieces)));
        abort();
    }
    return 0;
}
